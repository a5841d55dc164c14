// Where the page begins: whom it asks, where it is, and what listens to keys.

import "./style/base.css";
import "./style/session.css";
import { render } from "preact";

import { wordsOf } from "./api/answers";
import { Server, takeToken } from "./api/server";
import { firstAnswer, useSource } from "./api/source";
import { App } from "./app";
import { listenToKeys } from "./keys";
import { loadAll, whenIdle } from "./parts/later";
import { followAddress, go, place, sessionPlace } from "./selection";
import { followSelection } from "./session/open";
import { followPlace } from "./sessions/table";

const page = document.getElementById("page")!;

/** The file that the page stands in; null where a server sent it. Raises: ApiError for a damaged one. */
async function readFile() {
  return document.getElementById("archive") === null ? null : (await import("./api/archive")).readArchive();
}

function begin(archive: Awaited<ReturnType<typeof readFile>>): void {
  useSource(archive ?? new Server(takeToken()));
  followAddress(archive !== null);
  if (archive !== null && place.peek().screen !== "session") go(sessionPlace(archive.session), "step");
  followSelection();
  followPlace();
  listenToKeys();
  render(<App />, page);
  void firstAnswer.then(() => whenIdle(() => void loadAll()));
}

await readFile().then(begin, (error: unknown) => {
  render(
    <p class="empty is-error" role="alert">
      {wordsOf(error)}
    </p>,
    page,
  );
});
