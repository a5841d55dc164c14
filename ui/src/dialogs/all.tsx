// The dialog that is open.

import { open } from "../session/open";
import { BookmarkDialog } from "./bookmark";
import { DecideDialog } from "./decide";
import { dialog } from "./dialogs";
import { ExportDialog } from "./export";
import { ForkDialog } from "./fork";
import { Palette } from "./palette";
import { SayDialog } from "./say";
import { SearchDialog } from "./search";
import { Shortcuts } from "./shortcuts";

/** Shows the dialog that is open; those of a session only while one is. */
export function Dialogs() {
  const now = dialog.value;
  const session = open.value;
  if (now === null) return null;
  switch (now.name) {
    case "palette":
      return <Palette />;
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
