// Where the page begins: whom it asks, where it is, and what listens to keys.

import "./style/base.css";
import "./style/session.css";
import { render } from "preact";

import { Server, takeToken } from "./api/server";
import { firstAnswer, useSource } from "./api/source";
import { App } from "./app";
import { listenToKeys } from "./keys";
import { loadAll } from "./parts/later";
import { followAddress, go, place, sessionPlace } from "./selection";
import { followSelection } from "./session/open";
import { followPlace } from "./sessions/table";

const archive = document.getElementById("archive") === null ? null : await (await import("./api/archive")).readArchive();
useSource(archive ?? new Server(takeToken()));
followAddress(archive !== null);
if (archive !== null && place.peek().screen !== "session") go(sessionPlace(archive.session), "step");
followSelection();
followPlace();
listenToKeys();
render(<App />, document.getElementById("page")!);

const LATER_MS = 200;
const whenIdle = window.requestIdleCallback ?? ((does: () => void) => setTimeout(does, LATER_MS));
void firstAnswer.then(() => whenIdle(() => void loadAll()));
