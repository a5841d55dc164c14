// What a fork is to be, as far as it was said: and the body that asks the server for it.

import type { CallAgain, ChatMessage, Json, PageFork } from "../api/types";

/** What becomes of calls that were made before, as the library calls it. */
export type Tools = NonNullable<PageFork["tools"]>;

/** A message or result that reads otherwise in the fork. `was`: what it says; null where that is too long to edit. */
export interface Instead {
  name: number;
  role: string;
  was: string | null;
  text: string;
  isHidden: boolean;
}

/**
 * `before`: the message that the fork begins before; null for one at a seq. `edits`: it is said otherwise there, as
 * `edit` says it; null while what it says is not known yet. `tools`: what becomes of calls that were made before; null:
 * nothing is said of it, and people are asked. Elsewhere null, and an empty text, leave as it was.
 */
export interface Draft {
  at: number;
  before: number | null;
  edits: boolean;
  edit: string | null;
  title: string;
  instead: readonly Instead[];
  system: string | null;
  model: string;
  options: string | null;
  withoutTools: boolean;
  tools: Tools | null;
}

/** Says what one of the choices does with calls that have an effect once: how many of them it makes, takes or asks about. */
export function whatBecomes(calls: readonly CallAgain[], more: number, tools: Tools): string {
  const found = { run: 0, adopt: 0, ask: 0, refuse: 0 };
  for (const call of calls) found[call.becomes[tools]] += 1;
  const words = [
    found.run && `${found.run} made again`,
    found.adopt && `${found.adopt} answered with what is on record`,
    found.ask && `${found.ask} asked about`,
    found.refuse && `${found.refuse} refused`,
    more > 0 && `${more} more not looked at`,
  ];
  return words.filter(Boolean).join(", ");
}

/** Writes the body of a draft, or says what is wrong with it. */
export function bodyOf(draft: Draft): { body: PageFork } | { error: string } {
  const body: PageFork = draft.before === null ? { at: draft.at } : { before: draft.before };
  if (draft.before !== null && draft.edits) {
    if (draft.edit === null) return { error: "The message is being read." };
    if (!draft.edit.trim()) return { error: "The message says nothing." };
    body.edit = draft.edit;
  }
  if (draft.title.trim()) body.title = draft.title.trim();
  const replaced = draft.instead.filter((one) => !one.isHidden && one.text !== one.was);
  if (replaced.some((one) => !one.text.trim())) return { error: "What stands in place of a message says nothing: hide it instead." };
  if (replaced.length) body.replace = replaced.map((one) => ({ message: one.name, new: one.text }));
  const hidden = draft.instead.filter((one) => one.isHidden).map((one) => one.name);
  if (hidden.length) body.hide = hidden;
  if (draft.system !== null) body.system_prompt = draft.system;
  const model = draft.model.trim();
  if (model) {
    if (!/^[^:\s]+:\S+$/.test(model)) return { error: "A model is vendor:model, such as anthropic:claude-sonnet-4-5." };
    body.model = model;
  }
  if (draft.options?.trim()) {
    let read: Json;
    try {
      read = JSON.parse(draft.options) as Json;
    } catch (problem) {
      return { error: `The options are no JSON: ${problem instanceof Error ? problem.message : ""}` };
    }
    if (read === null || typeof read !== "object" || Array.isArray(read)) return { error: "Options are a JSON object: {…}" };
    body.options = read;
  }
  if (draft.withoutTools) body.without_tools = true;
  if (draft.tools !== null) body.tools = draft.tools;
  return { body };
}

/** What can read otherwise in a fork, the last first: messages that a model still reads, and results with their calls. */
export function replaceable(messages: readonly ChatMessage[], upto: number): { name: number; role: string; text: string; characters: number }[] {
  const found: { name: number; role: string; text: string; characters: number }[] = [];
  for (const message of messages) {
    if (message.seq <= upto && message.not_read === null && message.role !== "custom") {
      const role = message.role === "tool_result" ? `result of ${message.tool}` : message.role;
      found.push({ name: message.seq, role, text: message.text.text, characters: message.text.characters });
    }
    for (const call of message.calls) {
      if (call.result !== null && call.result_seq > 0 && call.result_seq <= upto) {
        found.push({ name: call.result_seq, role: `result of ${call.name}`, text: call.result.text, characters: call.result.characters });
      }
    }
  }
  return found.sort((one, other) => other.name - one.name);
}

/** All that a message, or a result, says; null where the server cuts it. */
export function wholeOf(messages: readonly ChatMessage[], name: number): { text: string | null; images: number } {
  for (const message of messages) {
    const call = message.calls.find((one) => one.result_seq === name);
    const said = message.seq === name ? message.text : call?.result;
    if (said) return { text: said.characters > [...said.text].length ? null : said.text, images: message.seq === name ? message.images : (call?.images ?? 0) };
  }
  return { text: null, images: 0 };
}
