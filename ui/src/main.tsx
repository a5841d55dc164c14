// Where the page begins: whom it asks, where it is, and what listens to keys.

import "./style/base.css";
import "./style/session.css";
import { render } from "preact";

import { Server, takeToken } from "./api/server";
import { useSource } from "./api/source";
import { App } from "./app";
import { listenToKeys } from "./keys";
import { followAddress } from "./selection";
import { followSelection } from "./session/open";

const token = takeToken();
useSource(new Server(token));
followAddress(false);
followSelection();
listenToKeys();
render(<App />, document.getElementById("page")!);
