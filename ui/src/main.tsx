// Where the page begins: whom it asks, where it is, and what listens to keys.

import "./style/base.css";
import "./style/session.css";
import { render } from "preact";

import { Server, takeToken } from "./api/server";
import { useSource } from "./api/source";
import { App } from "./app";
import { listenToKeys } from "./keys";
import { loadAll } from "./parts/later";
import { followAddress, go, place, sessionPlace } from "./selection";
import { followSelection } from "./session/open";

const archive = document.getElementById("archive") === null ? null : await (await import("./api/archive")).readArchive();
useSource(archive ?? new Server(takeToken()));
followAddress(archive !== null);
if (archive !== null && place.peek().screen !== "session") go(sessionPlace(archive.session), "step");
followSelection();
listenToKeys();
render(<App />, document.getElementById("page")!);

void loadAll();
