// What stands in place of the page where the server does not know who asks.

import { useEffect, useRef, useState } from "preact/hooks";

import { keepToken, Server } from "../api/server";
import { ApiError } from "../api/source";
import { readToken } from "./token";
import "./token.css";

/** Says that a token is needed, and takes it. */
export function TokenScreen() {
  const field = useRef<HTMLInputElement>(null);
  const [error, setError] = useState("");
  useEffect(() => field.current?.focus(), []);
  const onSubmit = async (event: SubmitEvent) => {
    event.preventDefault();
    const token = readToken(field.current?.value ?? "");
    if (!token) return;
    try {
      await new Server(token).get("/api/server");
    } catch (refused) {
      if (refused instanceof ApiError && refused.status === 401) setError("The server refuses this one, too.");
      else setError(refused instanceof Error ? refused.message : String(refused));
      return;
    }
    keepToken(token);
    location.reload(); // what was refused before is asked for again
  };
  return (
    <main class="token">
      <h1>This page needs its token.</h1>
      <p>
        <code>refold ui</code> prints an address that has it behind <code>#token=</code>. Open that address, or put it, or the token alone, in here. The browser keeps it for this
        tab.
      </p>
      <form onSubmit={(event) => void onSubmit(event)}>
        <input ref={field} class="field mono" type="password" autocomplete="off" aria-label="Token, or address" placeholder="http://127.0.0.1:8799/#token=…" />
        <button type="submit" class="button is-main">
          Open
        </button>
      </form>
      {error && (
        <p class="is-error" role="alert">
          {error}
        </p>
      )}
      <p class="dim">
        It is kept beside the log, in a file whose name ends in <code>-token</code>, that only you can read; or it is the one of <code>REFOLD_TOKEN</code>.
      </p>
    </main>
  );
}
