// The dialog that is open.

import { later } from "../parts/later";
import { open } from "../session/open";
import { dialog } from "./dialogs";

const AboutFile = later(async () => (await import("./about_file")).AboutFile);
const BookmarkDialog = later(async () => (await import("./bookmark")).BookmarkDialog);
const DecideDialog = later(async () => (await import("./decide")).DecideDialog);
const ExportDialog = later(async () => (await import("./export")).ExportDialog);
const ForkDialog = later(async () => (await import("./fork")).ForkDialog);
const Palette = later(async () => (await import("./palette")).Palette);
const SayDialog = later(async () => (await import("./say")).SayDialog);
const SearchDialog = later(async () => (await import("./search")).SearchDialog);
const Shortcuts = later(async () => (await import("./shortcuts")).Shortcuts);

/** Shows the dialog that is open; those of a session only while one is. */
export function Dialogs() {
  const now = dialog.value;
  const session = open.value;
  if (now === null) return null;
  switch (now.name) {
    case "palette":
      return <Palette />;
    case "about-file":
      return <AboutFile />;
    case "shortcuts":
      return <Shortcuts />;
    case "search":
      return <SearchDialog everywhere={now.everywhere || session === null} />;
  }
  if (session === null) return null;
  switch (now.name) {
    case "fork":
      return <ForkDialog session={session} seq={now.seq} before={now.before} />;
    case "decide":
      return <DecideDialog session={session} wait={now.key} />;
    case "export":
      return <ExportDialog session={session} />;
    case "bookmark":
      return <BookmarkDialog session={session} seq={now.seq} />;
    case "say":
      return <SayDialog session={session} how={now.how} />;
  }
}
