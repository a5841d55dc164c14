// What /api takes and answers. Written by `python -m tests.page_types`, from the types of its routes; not by hand.

/** Any JSON. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export type Absence = "application" | "compaction" | "edit" | "failed" | "hook" | "interrupted" | "unpaired";

export type Agreement = "differs" | "equal" | "unchecked";

export type ApprovalKind = "always" | "by_arguments" | "never";

export type EffectKind = "idempotent" | "once" | "pure";

export type EndReason = "aborted" | "error" | "limit" | "stop";

export type Event =
  | AgentStart
  | TurnStart
  | MessageStart
  | MessageUpdate
  | MessageEnd
  | ToolExecutionStart
  | ToolExecutionUpdate
  | ToolExecutionEnd
  | TurnEnd
  | AgentEnd
  | QueuePush
  | QueueClear
  | AbortRequest
  | ConfigChange
  | ModelRequest
  | Retry
  | Resume
  | Fork
  | MessageAdopt
  | Compaction
  | ContextEdit
  | TokenCreate
  | WaitStart
  | WaitEnd
  | StepStart
  | StepEnd
  | LoopContext
  | TaskStart
  | TaskEnd
  | ChildStart
  | ChildEnd
  | MetadataSet
  | StreamUpdate
  | Label
  | Custom
  | Erase;

export type Message = UserMessage | AssistantMessage | ToolResultMessage | CustomMessage;

export type Omitted = "images" | "results" | "thinking";

export type PairKind = "changed" | "left" | "right" | "same";

export type PartKind = "message" | "model" | "options" | "system_prompt" | "tools";

export type QueueMode = "all" | "one-at-a-time";

export type QueueName = "follow_up" | "inbox" | "output" | "prompt" | "steering";

export type Refusal = "aborted" | "adopted" | "blocked" | "invalid" | "length" | "skipped" | "unknown";

export type RepeatedTools = "ask" | "live" | "recorded";

export type RowKind =
  | "abort"
  | "assistant"
  | "child"
  | "clear"
  | "compaction"
  | "config"
  | "custom"
  | "edit"
  | "end"
  | "erase"
  | "fork"
  | "inbox"
  | "label"
  | "loop"
  | "metadata"
  | "note"
  | "resume"
  | "retry"
  | "step"
  | "task"
  | "token"
  | "tool"
  | "user"
  | "wait";

export type RunStatus = "aborted" | "done" | "error" | "limit" | "refused" | "waiting";

export type SessionSort = "cost" | "created" | "errors" | "events" | "turns" | "updated";

export type Source =
  | "adopted"
  | "answer"
  | "compaction"
  | "completed"
  | "config"
  | "edit"
  | "follow_up"
  | "hook"
  | "inbox"
  | "nobody"
  | "output"
  | "prompt"
  | "result"
  | "steering";

export type SpanKind = "model" | "run" | "tool" | "turn" | "wait";

export type StopReason = "aborted" | "error" | "length" | "pause" | "refusal" | "stop" | "tool_use";

export type TermKind = "identifier" | "number" | "path";

export type TextOf = "text" | "thinking";

export type ToolMode = "parallel" | "sequential";

export type UpdateKind =
  | "provider_block"
  | "text_delta"
  | "text_end"
  | "text_start"
  | "thinking_delta"
  | "thinking_end"
  | "thinking_start"
  | "tool_call_delta"
  | "tool_call_end"
  | "tool_call_start";

export type Updates = "all" | "joined" | "none";

export type Verdict = "adopt" | "ask" | "refuse" | "run";

/** Why the run under way is to end, and who says so. */
export interface AbortBody {
  error?: string;
  by?: string;
  reason?: EndReason;
}

/**
 * Something asked the run to end: a person, a hook, a callback that raised, a budget; `cancel`: its whole task.
 *
 * `output`: an answer does not fit the output type. `by`: who or what asked, where more is known than the cause.
 */
export interface AbortRequest {
  type: "abort_request";
  reason?: EndReason;
  cause?: "budget" | "callback" | "cancel" | "hook" | "output" | "person";
  error?: string;
  by?: string;
}

/**
 * Messages of another session, by their names; or those whose names lie between two, by steps.
 *
 * `between`: the first, the one behind the last, and the step, as a range of Python's.
 */
export interface AdoptBody {
  from: string;
  messages?: number[];
  between?: [number, number, number] | null;
}

/** The seqs of what was adopted, and the seq of the last event now. */
export interface Adopted {
  session: string;
  head: number;
  seqs: number[];
}

/** A run ended. */
export interface AgentEnd {
  type: "agent_end";
  reason?: EndReason;
  error?: string;
}

/** A run began. */
export interface AgentStart {
  type: "agent_start";
  reason?: "continue" | "follow_up" | "prompt";
}

/**
 * Sessions as the page reads them from a file, the one that it is of first.
 *
 * blocks: how many there are. without: what a server would answer and this cannot, in words. omitted: what was left
 * out of it because somebody asked for that, in words; marks stand in its place. comparisons: `Comparison`; compared:
 * the branches of each. lines, tools, left_out: what requests are made of, each once: `ArchivedLine`, and lists of
 * `SentTool` and of `LeftOut`.
 */
export interface Archive {
  version: string;
  blocks: number;
  without: string[];
  omitted: string[];
  family: Family;
  sessions: ArchivedSession[];
  comparisons: Listed;
  compared: [string, string][];
  lines: Listed;
  tools: Listed;
  left_out: Listed;
}

/**
 * A part of requests, and all of it: `of` is the number of the line with that content, often its own.
 *
 * content: None where that of another line is the same.
 */
export interface ArchivedLine {
  line: PartLine;
  of: number;
  content: Json | null;
}

/**
 * A request: its head but for its parts and tools, what changed in it, and where it begins to be told.
 *
 * `config`, `tools`, `left_out`: the numbers of the lines of its parts that are no messages, of the list of its
 * tools, and of the list of what was not sent.
 */
export interface ArchivedRequest {
  head: RequestHead;
  config: number[];
  check: RequestCheck;
  changes: RequestChanges;
  first: number;
  tools: number;
  left_out: number;
  more_left_out: number;
}

/**
 * A session of a file. Lists are of what stands behind their names; numbers are told as steps from one to the next.
 *
 * rows: `RowColumns`, one. previews: `Row`. messages: `ChatMessage`, as they stand at the head; message_seqs: theirs.
 * sources: `SaidWhere`, where the answers and calls of rows have their words from; source_rows: these.
 * inherited: the session of the file whose facts its history begins with, and up to which seq.
 * facts: `SentEvent`, every event behind that but streamed pieces; seqs: theirs. jumps: `Jump`, at each fact of the
 * history; an event that was not cut stands among the facts alone. asked: for each of these, the number of the request
 * that it is about. requests: `ArchivedRequest`, each that was sent once, and what would come next wherever that is
 * another one; in order. sent: of each, up to which place its messages are those of the request before it, and the
 * numbers of the lines that follow. series: `CallSeries`, one. spans: `Timespans`, one.
 */
export interface ArchivedSession {
  head: SessionHead;
  rows: Listed;
  previews: Listed;
  messages: Listed;
  message_seqs: number[];
  sources: Listed;
  source_rows: number[];
  inherited: [string, number] | null;
  facts: Listed;
  seqs: number[];
  jumps: Listed;
  asked: number[];
  requests: Listed;
  sent: Listed;
  series: Listed;
  spans: Listed;
}

/** The request that a seq is about; see `RequestHead`. */
export interface AskedThere {
  request_seq: number;
  before_seq: number;
  recorded_sha256: string;
  messages: number;
  tokens: number;
  estimated: boolean;
}

/**
 * What a model said.
 *
 * `api`, `provider` and `model` are empty where they equal the configuration in force.
 * `raw_stop_reason` is the provider's word where it says more than `stop_reason`.
 */
export interface AssistantMessage {
  role: "assistant";
  content?: (TextContent | ThinkingContent | ToolCall | ProviderContent)[];
  stop_reason?: StopReason;
  raw_stop_reason?: string;
  error?: string;
  usage?: Usage | null;
  api?: string;
  provider?: string;
  model?: string;
  response_id?: string;
  raw?: Json;
}

/**
 * What a run does with a call that it makes again, by what the fork was told.
 *
 * `run`: it is made. `adopt`: it gets the result on record. `ask`: a person decides.
 */
export interface Becomes {
  live: Verdict;
  recorded: Verdict;
  ask: Verdict;
}

/**
 * A call that was made behind the place where the fork begins, so that the fork may make it again.
 *
 * `session`: who made it, the original or one that it was forked from; `seq`: of its start there. `effect`: of its
 * tool in the fork, empty where nothing says it (then it counts as `once`). `status`: done, failed, or unknown, where
 * nobody knows what came of it.
 */
export interface CallAgain {
  session: string;
  seq: number;
  place: Place;
  name: string;
  arguments: string;
  effect: string;
  status: "done" | "failed" | "unknown";
  result: string;
  becomes: Becomes;
}

/**
 * The model calls of a session from one on, a list for each field; `calls` is how many there are in all.
 *
 * `context_tokens`: what was sent; `cached_tokens`: of that, what the provider had kept. `first_token_us`: from the
 * request to the first piece of its answer. -1 where a figure is not known. Times are UTC microseconds, costs
 * millionths of a dollar.
 */
export interface CallSeries {
  indexed_to: number;
  calls: number;
  start: number;
  models: string[];
  seq: number[];
  end_seq: number[];
  at_us: number[];
  duration_us: number[];
  first_token_us: number[];
  model: number[];
  input_tokens: number[];
  cached_tokens: number[];
  cache_write_tokens: number[];
  output_tokens: number[];
  reasoning_tokens: number[];
  context_tokens: number[];
  cost_microusd: number[];
}

/** A call of the batch under way. `status`: not begun, running, waiting, refused, ended, delivered to the model. */
export interface CallThere {
  place: Place;
  name: string;
  arguments: string;
  status: string;
  waits_for: string;
  child: string;
}

/**
 * What to compare with: the request that another seq is about (`12204`), also of another session (`id:12204`).
 *
 * By default the request before. A window of the changes, from one on.
 */
export interface ChangesQuery {
  against?: string | null;
  from?: number;
  limit?: number;
}

/**
 * A tool call and what came of it; see `projections.calls.CallView`.
 *
 * `result_seq`: the message that told the model, 0 without one.
 */
export interface ChatCall {
  place: Place;
  name: string;
  arguments: CutText;
  status: string;
  asked: CutText | null;
  attempts: number;
  refused: string;
  decided: string;
  is_error: boolean;
  adopted: boolean;
  started_at_us: number | null;
  ended_at_us: number | null;
  result: CutText | null;
  images: number;
  result_seq: number;
  children: string[];
}

/**
 * A message as it was said; see `projections.transcript.TranscriptMessage`.
 *
 * `row`: its row in the list, -1 without one. `not_read`, `not_read_seq`: why no model reads it any more at the seq
 * that the window is of, and the event that says so; empty where one does. `instead`: what stands there for it.
 */
export interface ChatMessage {
  seq: number;
  row: number;
  at_us: number;
  role: string;
  text: CutText;
  thinking: CutText | null;
  images: number;
  calls: ChatCall[];
  tool: string;
  call: Place | null;
  is_error: boolean;
  note: string;
  not_read: Absence | null;
  not_read_seq: number;
  instead: string;
}

/** A child session came to its end, having used so many tokens. */
export interface ChildEnd {
  type: "child_end";
  key: string;
  result?: Json;
  is_error?: boolean;
  tokens?: number;
}

/** A child session was started, for a key or for a tool call. */
export interface ChildStart {
  type: "child_start";
  key: string;
  child: string;
  call?: Place | null;
}

/**
 * A summary stands, for the model, in place of every message before `first_kept_seq` (0: of all so far).
 *
 * `silent`: the model does not read it, since the messages that follow say what stands in place of those before.
 */
export interface Compaction {
  type: "compaction";
  summary: string;
  first_kept_seq?: number;
  tokens_before?: number;
  child?: string;
  details?: Json;
  silent?: boolean;
}

/** Two sessions, by their whole ids or titles. */
export interface CompareQuery {
  left: string;
  right: string;
}

/** A part of the configuration that differs at the two heads. */
export interface ComparedConfig {
  field: string;
  left: CutText;
  right: CutText;
  pieces: Piece[];
}

/**
 * Two messages that belong together, one that only one side has, or a run of `count` equal ones.
 *
 * Of a run the first message of either side stands for all. `pieces`: the words that were changed, in their texts.
 * `lines`: the difference of all that they say and of what came of their calls.
 */
export interface ComparedPair {
  kind: PairKind;
  count: number;
  left: ComparedSaid | null;
  right: ComparedSaid | null;
  pieces: Piece[];
  lines: string[];
}

/** A message of one side. `calls`: tool and arguments of each call, cut. */
export interface ComparedSaid {
  seq: number;
  role: string;
  tool: string;
  text: CutText;
  calls: [string, CutText][];
  note: string;
  is_error: boolean;
}

/** Two branches beside each other, with all pairs of what was said in them. */
export interface Comparison {
  head: ComparisonHead;
  pairs: ComparedPair[];
}

/**
 * What tells two sessions apart, but for the messages; see `replay.SessionDiff`.
 *
 * `own_messages`: how many messages either side has behind what both share.
 */
export interface ComparisonHead {
  left: Side;
  right: Side;
  shared_seq: number;
  same_messages: number;
  own_messages: [number, number];
  differs: boolean;
  config: ComparedConfig[];
}

/**
 * Pairs in order. `next`: behind which seqs of either side the next page begins; None: there is none.
 *
 * `left_out`: how many messages of either side come behind.
 */
export interface ComparisonPage {
  pairs: ComparedPair[];
  next: [number, number] | null;
  left_out: [number, number];
}

/** The configuration changed; absent fields stay. `options` is a JSON object of model options. */
export interface ConfigChange {
  type: "config_change";
  model?: ModelRef | null;
  system_prompt?: string | null;
  tools?: ToolSpec[] | null;
  options?: Json;
  policies?: Policies | null;
}

/**
 * A message was hidden from the model, or replaced for it.
 *
 * `says_hidden`: of a tool's result that is taken away, the model reads that it is hidden. Release 0.1 let it read as
 * if the call had never been answered.
 */
export interface ContextEdit {
  type: "context_edit";
  message_seq: number;
  replacement?: Message | null;
  says_hidden?: boolean;
}

/** A place a reader has reached: a seq and the digest of everything up to it (empty: not known). */
export interface Cursor {
  seq: number;
  digest: string;
}

/** An application's own fact. */
export interface Custom {
  type: "custom";
  kind: string;
  data?: Json;
}

/**
 * A message of an application's own; `kind` is its name there, `body` its other fields as a JSON object.
 *
 * A model sees it only if `projections.custom` knows the kind or a `convert_to_llm` hook turns it into another.
 */
export interface CustomMessage {
  role: "custom";
  kind: string;
  body: Json;
}

/** A value as JSON; of one that takes too much, long texts and lists are cut. `size_bytes`: of all of it. */
export interface CutJson {
  value: Json;
  size_bytes: number;
  is_cut: boolean;
}

/** A text, or its beginning: `characters` is how long all of it is. */
export interface CutText {
  text: string;
  characters: number;
}

/**
 * How a wait ends: a call is approved or not, with other arguments if given; a token gets its value.
 *
 * `wait`: its key, or `session:key` (also a child's). `outcome`: `cancelled` lets the run go on without an answer.
 */
export interface DecisionBody {
  wait: string;
  value?: Json;
  approve?: boolean | null;
  reason?: string;
  arguments?: Record<string, Json> | null;
  outcome?: "cancelled" | "completed";
  decided_by?: string;
}

/**
 * A bar of the timeline, or several of one lane that would be narrower than a pixel: then `spans` says how many.
 *
 * `end_seq` and `ended_at_us` are None while it lasts. `first_token_us`: from its start on. `note`: how the last of
 * them that did not end well ended. `measured`: see `projections.timeline.Span`.
 */
export interface DrawnSpan {
  lane: string;
  kind: SpanKind;
  name: string;
  spans: number;
  start_seq: number;
  started_at_us: number;
  end_seq: number | null;
  ended_at_us: number | null;
  first_token_us: number | null;
  note: string;
  measured: boolean;
}

/** How a wait ended: at which seq, what was decided, by whom; `words` say it in a line. */
export interface EndedWait {
  session: string;
  key: string;
  seq: number;
  at_us: number;
  outcome: string;
  decided_by: string;
  words: string;
}

/** `key`: of a wait or token of the session. */
export interface EndedWaitQuery {
  key: string;
}

/**
 * The content of the event at `target_seq` was removed; its shape stays.
 *
 * `shape_sha256`: of the bytes that were left, in hex (empty: made before this was kept).
 */
export interface Erase {
  type: "erase";
  target_seq: number;
  reason?: string;
  shape_sha256?: string;
}

/** A page of events; `next`: the `after` of the page behind it, if there may be one. */
export interface EventPage {
  events: SentEvent[];
  next: number | null;
}

/**
 * Which events: those with `after < seq <= upto`.
 *
 * `updates`: deltas as they came (`all`), none of them, or (`joined`) those of one block that follow each other as
 * one; by default `all` of a page, `joined` of a stream. `at_digest`: the digest at `after`, of a cursor, and `at_us`:
 * the time of the event there; if it is another one now, the tail that was seen is in the log no more, and a stream
 * says so.
 */
export interface EventsQuery {
  after?: number;
  upto?: number | null;
  limit?: number;
  updates?: Updates | null;
  at_digest?: string | null;
  at_us?: number | null;
}

/** A family, parents before what begins in them. `session`: the one that was asked about. */
export interface Family {
  session: string;
  members: FamilyMember[];
  used: OwnUsage;
}

/**
 * A session of a family: a fork of its parent at a seq, or started by another one; the first one is neither.
 *
 * `labels`: the bookmarks that it set itself, (seq, text), also on what it shares. `used`: what it used itself,
 * without what it shares with its parent.
 */
export interface FamilyMember {
  info: SessionInfo;
  above: string;
  depth: number;
  is_child: boolean;
  labels: [number, string][];
  status: string;
  reason: string;
  used: OwnUsage;
}

/**
 * `family`: with the session's branches, and the other sessions of its tree.
 *
 * `omit`: what is left out of the file: `results`, `images`, `thinking`, with commas between them.
 */
export interface FileQuery {
  family?: boolean;
  omit?: string;
}

/** `q`: a text, found in any case. `session`: in this one only. `after`: the `next` of the page before. */
export interface FindTextQuery {
  q: string;
  session?: string | null;
  after?: string | null;
  limit?: number;
}

/** One thing `verify` found. `problem` is a defect; a `note` names what was dropped or erased on purpose. */
export interface Finding {
  session: string;
  seq: number;
  problem: string;
  note: boolean;
}

/**
 * This session began as a branch of another; which one, and where, is in the session's row.
 *
 * `keeps`: seqs of the pushes that stay queued, since the turn under way was begun to deliver them; all others are the
 * parent's. Release 0.1 kept none. `repeated_tools`: what becomes of calls that are made again here, where the run
 * does not say; None: nobody said.
 */
export interface Fork {
  type: "fork";
  keeps?: number[];
  repeated_tools?: RepeatedTools | null;
}

/**
 * A fork that was not made.
 *
 * `at`: the last seq that it shares; `last_words`: of the last message before. `against_seq`: the request of the
 * original that comes behind, with which the fork's first one is compared (0: its next one, which was not sent yet).
 * `once`: calls behind that place, of tools that have an effect once; if the fork makes one again (same name, same
 * arguments), its run asks, takes what is on record, or makes it, as the fork was told. `others`: those that are made
 * again without a question.
 */
export interface ForkPreview {
  session: string;
  at: number;
  last_words: string;
  messages: number;
  against_seq: number;
  changes: PartChange[];
  more_changes: number;
  once: CallAgain[];
  more_once: number;
  others: CallAgain[];
  more_others: number;
}

/** `dry_run`: makes nothing, and answers what the fork would be. */
export interface ForkQuery {
  dry_run?: boolean;
}

/** The session, and the seq of its last event now. */
export interface Head {
  session: string;
  head: number;
}

/** A message in which a text was found. `marks`: where it stands in the excerpt, from and up to which character. */
export interface Hit {
  session: string;
  title: string;
  seq: number;
  role: string;
  at_us: number;
  excerpt: string;
  marks: [number, number][];
}

/** How many hits a session has on all pages; `more`: it has more than were counted. */
export interface HitCount {
  session: string;
  hits: number;
  more: boolean;
}

/**
 * What was found, on a page. `next`: the `after` of the page behind it, empty without one.
 *
 * `counts`: of each session that has hits on this page, how many it recorded itself; of the one that was searched
 * alone, how many its whole history has.
 */
export interface Hits {
  hits: Hit[];
  next: string;
  counts: HitCount[];
}

/** An image as base64 text. */
export interface ImageContent {
  type: "image";
  data: string;
  media_type: string;
  raw?: Json;
}

/** A message that stands in one request only. */
export interface Inserted {
  type: "inserted";
  message: Message;
}

/**
 * A session at a seq.
 *
 * `row`: the number of the row that the event belongs to, -1 without one, and `row_seq` its seq. `event`: as it is
 * stored, but for what is cut. `streaming`: the blocks of the message that is open there. `usage`: of the session so
 * far, what it inherited included; `turn_usage`, `call_usage`: of the turn and of the model call there, as they ended.
 * `caused_by`, `leads_to`: what led to the event (0: nothing of this session), and what came of it. `calls_in_all`,
 * `queued_in_all`, `waits_in_all`: how many there are, where not all are listed.
 */
export interface Jump {
  session: string;
  seq: number;
  head: number;
  indexed_to: number;
  at_us: number;
  type: string;
  event: CutJson;
  phase: string;
  standing: string;
  row: number;
  row_seq: number;
  request: AskedThere;
  calls: CallThere[];
  calls_in_all: number;
  queue: QueuedThere[];
  queued_in_all: number;
  waits: Waiting[];
  waits_in_all: number;
  streaming: StreamedBlock[];
  usage: Used;
  turn_usage: Used;
  call_usage: Used;
  previous: Neighbours;
  next: Neighbours;
  caused_by: number;
  leads_to: number[];
}

/** A bookmark at a seq (empty text removes it), or, without a seq, the session's title. */
export interface Label {
  type: "label";
  text: string;
  target_seq?: number;
}

/** A bookmark at a seq (an empty text removes it); without a seq, the session's title. */
export interface LabelBody {
  text: string;
  seq?: number | null;
}

/**
 * A message of the history that was not sent: it would have stood before the message at `before`.
 *
 * `reason`, `seq`: what kept it out, and by which event. failed, interrupted: a model gets no answer that came to
 * nothing; application: no model reads its kind; unpaired: a result without a call. `tokens` are estimated by its
 * length.
 */
export interface LeftOut {
  before: number;
  name: number;
  role: string;
  reason: Absence;
  seq: number;
  text: string;
  tokens: number;
}

/** A list that stands in blocks: how many things, which blocks, and the place of the first thing of each. */
export interface Listed {
  many: number;
  blocks: number[];
  begins: number[];
}

/**
 * What happened behind a seq, up to another.
 *
 * `rows`: those that were begun or changed, the one that is being said with `text_tail`; `rows_in_all` is how many
 * there are. `texts`: what was said of the message that is open. `reload`: more has changed than is told here, so that
 * rows and messages are to be read anew.
 */
export interface LiveBatch {
  after: number;
  seq: number;
  info: SessionInfo;
  phase: string;
  rows: Row[];
  rows_in_all: number;
  texts: LiveText[];
  reload: boolean;
}

/** `after`: the seq that was seen last. `at_digest`: the digest there; see the events of a session. */
export interface LiveQuery {
  after?: number;
  at_digest?: string | null;
}

/** A piece of the message that is being said: deltas of one block that came close together, as one. */
export interface LiveText {
  first_seq: number;
  seq: number;
  kind: UpdateKind;
  content_index: number;
  name: string;
  text: string;
}

/** A loop's context changed; `patch` is a JSON patch (RFC 6902). */
export interface LoopContext {
  type: "loop_context";
  iteration: number;
  patch: Json;
  key?: string;
}

/**
 * A message from elsewhere joined the history.
 *
 * `sent_at_us` is its own time; `call` names an adopted result's call, `child` the session that made the result.
 */
export interface MessageAdopt {
  type: "message_adopt";
  message: Message;
  origin: Origin;
  sent_at_us?: number;
  call?: Place | null;
  child?: string;
}

/**
 * A message ended; its seq is the message's name.
 *
 * `message`: the whole assistant message; absent for inputs and tool results, which stand elsewhere in the log.
 * `interrupted`: a later process closed it; its text is dropped from the context or kept.
 */
export interface MessageEnd {
  type: "message_end";
  message?: AssistantMessage | null;
  interrupted?: "dropped" | "kept" | null;
}

/**
 * A message began.
 *
 * input: `push_seq` is the seq of the `queue_push` it delivers. tool_result: `call` is its call's place.
 * assistant: `streamed` is false if it came whole; api, provider and model where they differ from the config;
 * `usage` is what the provider said of it at its beginning, and counts only if the answer never comes to its end.
 */
export interface MessageStart {
  type: "message_start";
  role: "assistant" | "input" | "tool_result";
  push_seq?: number;
  call?: Place | null;
  streamed?: boolean;
  api?: string;
  provider?: string;
  model?: string;
  usage?: Usage | null;
}

/**
 * One delta of the assistant message that is being streamed.
 *
 * `delta`: text of a *_delta. `id`, `name`: of a tool_call_start. `signature`: of a *_end, if the block has one.
 * `arguments`: of a tool_call_end, only if they differ from the joined deltas. `redacted`: of a thinking_start.
 * `api`, `block`: of a provider_block, which opens and closes its block at once.
 */
export interface MessageUpdate {
  type: "message_update";
  kind: UpdateKind;
  content_index: number;
  delta?: string;
  id?: string;
  name?: string;
  arguments?: string | null;
  signature?: string;
  redacted?: boolean;
  api?: string;
  block?: Json;
}

/** A named value of the run changed; absent means removed. */
export interface MetadataSet {
  type: "metadata_set";
  name: string;
  value?: Json;
}

/** Which model is called: wire protocol, vendor, name, and a base URL where it is not the vendor's own. */
export interface ModelRef {
  api: string;
  provider: string;
  model: string;
  base_url?: string;
}

/**
 * A model is about to be called.
 *
 * `request_sha256`: digest of the neutral request. `body_sha256`: of the wire body that codec `body_codec` made.
 * `selection`: what was sent, when a hook changed it; absent: the context as it is.
 */
export interface ModelRequest {
  type: "model_request";
  attempt: number;
  request_sha256: string;
  body_sha256?: string;
  body_codec?: string;
  selection?: (SeqRange | Inserted)[] | null;
}

/** What a session used of a model itself: so many answers, `unpriced` of them without a known price. */
export interface ModelUse {
  model: string;
  calls: number;
  used: Used;
}

/** A message of the context, by its name. */
export interface NamedMessage {
  message: number;
}

/** The nearest seqs on one side; 0 where there is none. `tool`: of the same tool, at a call; else of any. */
export interface Neighbours {
  turn: number;
  prompt: number;
  error: number;
  tool: number;
  compaction: number;
  fork: number;
  row: number;
}

/** Where something adopted came from: a program or format, its session, and the entry there. */
export interface Origin {
  source: string;
  session?: string;
  entry?: string;
}

/**
 * What a session used itself: what it shares with its parent was used there, and counts there.
 *
 * `input_tokens` are those that were not cached.
 */
export interface OwnUsage {
  input_tokens: number;
  output_tokens: number;
  cost_microusd: number | null;
  cache_read_tokens: number;
  cache_write_tokens: number;
  reasoning_tokens: number;
}

/**
 * Where a fork begins, at a seq (else the head) or before a message, and what is otherwise in it.
 *
 * `edit`: with `before`, what is said in that message's place; it is queued, and a run delivers it. `replace`, `hide`:
 * messages of the context there. `tools`: what becomes of calls with an effect that the original made behind that
 * place, when the fork makes them again: made (`live`), answered with what is on record (`recorded`), or asked about.
 * `system_prompt`, `model` (`vendor:model`), `options`, `without_tools`: hold until an
 * agent that runs the fork wants it otherwise.
 */
export interface PageFork {
  at?: number | null;
  before?: number | null;
  edit?: Json;
  title?: string;
  replace?: ReplacedMessage[];
  hide?: number[];
  system_prompt?: string | null;
  model?: string | null;
  options?: Json;
  without_tools?: boolean;
  tools?: RepeatedTools | null;
}

/** `after_left`, `after_right`: the `next` of the page before. */
export interface PairsQuery {
  left: string;
  right: string;
  after_left?: number;
  after_right?: number;
  limit?: number;
}

/**
 * A part that came, that is gone, or that is another one; `truncated`: it is the beginning of what it was.
 *
 * `part`: of what is gone, who took it out, and `before` who had put it there. `characters`: how much more or less is
 * said. `pieces`: the words that were changed; `is_cut`: of texts that are too long only the beginnings were compared.
 */
export interface PartChange {
  kind: "added" | "changed" | "removed" | "truncated";
  part: RequestPart;
  before: RequestPart | null;
  characters: number;
  pieces: Piece[];
  is_cut: boolean;
}

/** A message of a request with its content, cut if it is long. */
export interface PartContent {
  place: number;
  sha256: string;
  content: CutJson;
}

/** Messages of a request with their content, cut where it is long. */
export interface PartContents {
  seq: number;
  messages: number;
  parts: PartContent[];
}

/**
 * One part of a request in a list of them. `place`: among the messages; -1 for a part that is none.
 *
 * `source` and `seq`: who put it there, and by which event; `name`: of a message, 0 without one. `tokens` are
 * estimated by its length. `sha256` is that of its JSON, under which all of it is fetched.
 */
export interface PartLine {
  place: number;
  what: PartKind;
  source: Source;
  seq: number;
  text: string;
  sha256: string;
  size_bytes: number;
  tokens: number;
  name: number;
  role: string;
  detail: string;
}

/** Where a part is looked for: in which session, at which seq, under which name (0: all that is sent there). */
export interface PartQuery {
  session: string;
  seq: number;
  name?: number;
}

/**
 * The messages of a request from one place on, `messages` in all; and what was left out among them.
 *
 * `more_left_out`: how many more messages were left out there than are listed, all of them further ahead.
 */
export interface PartWindow {
  seq: number;
  messages: number;
  parts: PartLine[];
  left_out: LeftOut[];
  more_left_out: number;
}

/** `partial`: what is indexed by now is answered, as of `indexed_to`, where the index has not come to the head. */
export interface PartialQuery {
  partial?: boolean;
}

/** A piece of a text: of both, only of the one before, or only of the one after. */
export interface Piece {
  kind: "added" | "removed" | "same";
  text: string;
}

/** Where a tool call stands: its assistant message (the seq of that `message_end`) and its content index. */
export interface Place {
  message_seq: number;
  content_index: number;
}

/**
 * How a run behaves, as data. Limits of 0 mean none.
 *
 * tools: a batch's calls at once or one by one (one sequential tool makes its batch sequential).
 * steering: `interrupt` skips the remaining calls of a sequential batch, `after_batch` waits for its end.
 * length_calls: calls of a message cut at the token limit fail or run.
 * coerce: arguments may be converted to the declared types.
 * in_doubt: a `once` call that started and has no end is settled as unknown, or a person is asked.
 * partial: the text of an interrupted message is dropped from the context or kept.
 * retries: how often a failed assistant message is tried again within its turn.
 * unknown_tools: calls of tools that the configuration lacks are refused, or run (a foreign loop declares none).
 * output_retries: how often a run asks again for an answer that does not fit the output type, before it ends in error.
 * turn_limit: turns of one run; None: whoever runs the session writes the default, and where nobody wrote one (logs of
 *     releases without it) there is none. token_limit: input, output and cached tokens of one run.
 */
export interface Policies {
  tools?: ToolMode;
  steering?: "after_batch" | "interrupt";
  steering_queue?: QueueMode;
  follow_up_queue?: QueueMode;
  length_calls?: "fail" | "run";
  coerce?: boolean;
  in_doubt?: "ask" | "unknown";
  partial?: "dropped" | "kept";
  unknown_tools?: "refuse" | "run";
  retries?: number;
  output_retries?: number;
  turn_limit?: number | null;
  token_limit?: number;
}

/**
 * Why a request was not done: RFC 9457.
 *
 * `error` is the class of the error and `fields` what it says beside its sentence (`detail`), such as the seqs of a
 * conflict.
 */
export interface Problem {
  title: string;
  status: number;
  detail: string;
  type?: string;
  error?: string;
  fields?: Record<string, Json>;
}

/**
 * What is said: a text, a message, or a list of messages or of texts and images.
 *
 * `key`: as the header Idempotency-Key; the same key says it once.
 */
export interface PromptBody {
  prompt: Json;
  key?: string | null;
}

/** A block of the provider's that has no neutral form, kept as received and sent back only to the same `api`. */
export interface ProviderContent {
  type: "provider";
  api: string;
  block: Json;
}

/**
 * A test for pytest, and the recording that it reads.
 *
 * `path`, `source`: of the test. `recording`: the file that it names, beside it; `command` writes that, and so does
 * what is read at `recording_url`.
 */
export interface PytestFile {
  path: string;
  source: string;
  recording: string;
  command: string;
  recording_url: string;
}

/** Messages that waited in a queue will not be delivered. */
export interface QueueClear {
  type: "queue_clear";
  queue: QueueName;
}

/**
 * A message waits to be delivered. A prompt is a push too, so a run is durable before it begins.
 *
 * In the queue `output` it says what did not fit in the run's last answer, and asks for it again.
 */
export interface QueuePush {
  type: "queue_push";
  queue: QueueName;
  message: Message;
  key?: string;
}

/** A message that waits to be delivered. */
export interface QueuedThere {
  seq: number;
  queue: string;
  role: string;
  text: string;
}

/** A message of the context, by its name, and what the model reads in its place: a text, or a message. */
export interface ReplacedMessage {
  message: number;
  new: Json;
}

/**
 * What is otherwise than in another request; 0 stands for one that was not sent yet.
 *
 * `more`: how many more changes there are than are listed.
 */
export interface RequestChanges {
  session: string;
  request_seq: number;
  against_session: string;
  against_seq: number;
  added: number;
  removed: number;
  changed: number;
  changes: PartChange[];
  more: number;
}

/** Whether a request that is built again is the one on record; see `replay.Why`. */
export interface RequestCheck {
  request_seq: number;
  request_sha256: string;
  recorded_sha256: string;
  digest: Agreement;
  body: Agreement;
}

/**
 * A request but for its messages, of which there are so many.
 *
 * `seq`: where it was looked at. `request_seq`: its `model_request`, 0 when it is the one that would come next.
 * `before_seq`: the request before it, 0 without one. `tokens`: of what was sent, as the answer's usage says; until
 * that is known, estimated by its length (`estimated`). `recorded_sha256`: the digest on record.
 * `adopted`: it led to an answer that was made elsewhere, and is put together from what had been said by then.
 */
export interface RequestHead {
  session: string;
  seq: number;
  request_seq: number;
  before_seq: number;
  at_us: number;
  attempt: number;
  model: ModelRef;
  parts: PartLine[];
  tools: SentTool[];
  messages: number;
  tokens: number;
  estimated: boolean;
  recorded_sha256: string;
  selected: boolean;
  adopted: boolean;
}

/**
 * One part of a request.
 *
 * `name`: a message's name, 0 if it has none. `seq`: the event that put it there, 0 for `nobody` and `completed`.
 * `detail` says more of the source: a call's place, the child session of a summary, where a message was adopted from;
 * `origin` and `file`, the file that was imported, say that in parts.
 */
export interface RequestPart {
  what: PartKind;
  source: Source;
  seq: number;
  text: string;
  name: number;
  role: string;
  detail: string;
  origin: Origin | null;
  file: string;
}

/**
 * A runner took it up again; `continue` when idle asks for a run, of the message of the inbox that is named.
 *
 * `turn` asks the run under way for one more turn where it would end; without a run it means nothing. `stuck`: its
 * task could not be gone on with; `problem` says why.
 */
export interface Resume {
  type: "resume";
  why: "continue" | "crash" | "stuck" | "takeover" | "turn" | "wait";
  runner?: string;
  push_seq?: number;
  problem?: string;
}

/**
 * A model call, or a task that failed, will be tried again, not before a time (UTC microseconds; 0: at once).
 *
 * `usage`: what the provider said that the call has used.
 */
export interface Retry {
  type: "retry";
  cause: string;
  not_before_us?: number;
  usage?: Usage | null;
}

/** One row, by its number among them; see `RowColumns`. `name`: of its message, 0 without one. */
export interface Row {
  row: number;
  seq: number;
  last_seq: number;
  name: number;
  kind: RowKind;
  who: string;
  flags: number;
  at_us: number;
  duration_us: number;
  tokens: number;
  preview: string;
  text_tail: string;
}

/**
 * All rows of a session, a list for each field: the numbers of `seq` and `at_us` are steps from the row before.
 *
 * `last_seq`: how many seqs behind its own the row goes on. `name`: how many behind its own stands the message that it
 * shows, -1 without one. `kind` and `who` are places in `kinds` and `whos`. `flags`: 1 it failed, 2 it lasts still, 4
 * it came from elsewhere, 8 it was refused, 16 it was cut off, 32 hidden from the model, 64 compacted away.
 * `duration_us` is -1 where nobody measured it. `indexed_to`: the seq up to which they are told.
 */
export interface RowColumns {
  indexed_to: number;
  kinds: RowKind[];
  whos: string[];
  seq: number[];
  last_seq: number[];
  name: number[];
  kind: number[];
  who: number[];
  flags: number[];
  at_us: number[];
  duration_us: number[];
  tokens: number[];
}

/** Rows with their first words, from one on; `rows_in_all` is how many there are. */
export interface RowWindow {
  indexed_to: number;
  rows_in_all: number;
  rows: Row[];
}

/** A run that has ended, or waits for somebody (`status`); `text`: the last answer's. */
export interface RunAnswer {
  session: string;
  head: number;
  status: RunStatus;
  text: string;
  error: string;
  usage: Usage;
}

/** A text, or a message as JSON (for a task: any JSON). `key`: as the header Idempotency-Key. */
export interface SaidBody {
  message: Json;
  key?: string | null;
}

/**
 * A path, identifier or number of an answer, and the last part of its request in which it stands.
 *
 * `place`: the part's among the messages, -1 for one that is none, None where no part says it. Then `left_out` tells
 * why the last message that does was not sent, if there is one: `name` is that message's. `source`, `seq`: who put the
 * part there, or what kept the message out.
 */
export interface SaidTerm {
  term: string;
  kind: TermKind;
  place: number | null;
  what: PartKind | null;
  source: Source | null;
  left_out: Absence | null;
  name: number;
  seq: number;
}

/**
 * The terms of an answer or a call, in the order in which they stand; `more`: how many more there are.
 *
 * `message_seq`: of the answer; `request_seq`: of the request that it answers, 0 where none is on record.
 */
export interface SaidWhere {
  session: string;
  message_seq: number;
  request_seq: number;
  terms: SaidTerm[];
  more: number;
}

/**
 * An event in its envelope: its session, its seq and its time (UTC microseconds), and the event as it is stored.
 *
 * `first_seq`: of joined deltas, the seq of the first; `seq` is that of the last.
 */
export interface SentEvent {
  session: string;
  seq: number;
  at_us: number;
  event: Event;
  first_seq?: number;
}

/** A tool as the model was told of it; whether the answer called it. */
export interface SentTool {
  name: string;
  description: string;
  schema: Json;
  called: boolean;
}

/** The context's messages whose names lie between two seqs, both included, in their order. */
export interface SeqRange {
  type: "range";
  first: number;
  last: number;
}

/** A server. `writes`: the page may fork, decide and say something; `runs`: it may also have agents run. */
export interface ServerInfo {
  version: string;
  writes: boolean;
  runs: boolean;
}

/**
 * A session's head, as it stands above its page.
 *
 * `lineage`: the sessions that its history is made of, itself first, each with the last seq taken from it. `family`:
 * how many sessions belong to its tree. `forks`: the seqs at which other sessions begin in it. `used`: of the whole
 * history, of which `inherited` was its parents' and `adopted` came with messages from elsewhere. `indexed_to`: up to
 * which seq the page's answers know it. `kept_seq`: the first message that the last compaction kept, 0 without one.
 */
export interface SessionHead {
  info: SessionInfo;
  stands: SessionStatus;
  cursor: Cursor;
  lineage: [string, number][];
  family: number;
  labels: [number, string][];
  forks: number[];
  models: ModelUse[];
  used: Used;
  inherited: Used;
  adopted: Used;
  rows: number;
  calls: number;
  indexed_to: number;
  kept_seq: number;
}

/**
 * A session's row: what it is, and the folds kept beside it (rebuilt by `rebuild`, always equal to the log).
 *
 * `fork_seq` is the last seq inherited from `parent` (0: none). `head` is the last event's seq.
 * `digest` is the chain's link at the last fact. `status`: empty, idle, running (somebody holds it), interrupted
 * (a run is unfinished and nobody holds it), queued (no run is, but messages are queued for the next), due (a task is
 * unfinished, and a worker should look at it), waiting (an open wait), failed (the last run ended in error). `open` is
 * true while a run is unfinished, or something is queued or waits. Tokens, cost, turns and errors (failed runs, steps,
 * tries of a task, tools) are those of this lineage; `inherited_*` of them were the parent's. `cost_microusd` is
 * absent when no price is known. `labels`: how many labels the session set on seqs itself.
 * `task`: the last task's id. `due_at_us`: when a worker should look at it, if its task is open; this one is no fold.
 *
 * `started_by`: the session whose child it is. `source`: what it was imported from, each at most once in a log.
 * `first_words`: of a person. `model`: the one in force, `models`: those that have answered, as provider/model.
 * `last`: how the last run or task ended: done, asked (done because somebody asked it to end), error, aborted, limit,
 * refused, cancelled. `agent`, `folder`, `branch`: the metadata of these names. `queue`: of the last task.
 * `removals`: how often content of this lineage was dropped or erased. `number`: of all sessions ever made in this log
 * the how manieth; one that is made again under the id of a deleted one has another.
 */
export interface SessionInfo {
  id: string;
  title: string;
  parent: string | null;
  fork_seq: number;
  head: number;
  digest: string;
  created_at_us: number;
  updated_at_us: number;
  status: string;
  open: boolean;
  wake_at_us: number | null;
  task: string;
  due_at_us: number | null;
  messages: number;
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  cache_write_1h_tokens: number;
  reasoning_tokens: number;
  cost_microusd: number | null;
  inherited_input_tokens: number;
  inherited_output_tokens: number;
  inherited_cost_microusd: number | null;
  turns: number;
  errors: number;
  labels: number;
  started_by: string;
  source: string;
  first_words: string;
  model: string;
  models: string[];
  last: string;
  agent: string;
  folder: string;
  branch: string;
  queue: string;
  archived_at_us: number | null;
  removals: number;
  number: number;
  owner: string;
  epoch: number;
  expires_at_us: number;
}

/**
 * How a session stands and why; `waits`: what it waits for.
 *
 * status: as the session's row says it, and for an idle one whose last run was not done how that ended (failed,
 * aborted, limit, refused).
 */
export interface SessionStatus {
  status: string;
  reason: string;
  waits: Waiting[];
}

/**
 * One of two sessions, and what it came to after the part that both share: times in microseconds.
 *
 * `unpriced` counts answers whose price is not known. A page of a comparison adds nothing up: usage, calls and times
 * are None in it.
 */
export interface Side {
  session: string;
  title: string;
  head: number;
  status: string;
  messages: number;
  usage: Usage | null;
  unpriced: number | null;
  model_calls: number | null;
  tool_calls: number | null;
  model_us: number | null;
  tool_us: number | null;
}

/** Between which times (UTC microseconds; by default all), and on how many pixels: what is narrower is joined. */
export interface SpansQuery {
  from_us?: number | null;
  to_us?: number | null;
  px?: number;
}

/**
 * A task's step ended with a result, or with an error; then `jitter_ppm` is what chance adds to its backoff.
 *
 * `model`, `usage`: the model that it asked, and what that used.
 */
export interface StepEnd {
  type: "step_end";
  key: string;
  result?: Json;
  error?: string;
  jitter_ppm?: number;
  model?: ModelRef | null;
  usage?: Usage | null;
}

/**
 * A task's step began; the digest of its input guards against another input under the same key.
 *
 * `retries`: how often it is tried again when it fails (absent: the log does not say), `backoff_us` how long after the
 * first failure. `asks`: it asks a model.
 */
export interface StepStart {
  type: "step_start";
  key: string;
  input_sha256?: string;
  attempt?: number;
  retries?: number | null;
  backoff_us?: number;
  asks?: boolean;
}

/**
 * Where a log is: in the memory of a process, in a file of SQLite, or on a server.
 *
 * `size_bytes`, `wal_bytes`: of the file and of its write-ahead file. `wal_race`: this SQLite is one in which two
 * programs that empty the write-ahead file at the same time may lose a commit; Refold's own take turns, so that only
 * others could.
 */
export interface StoreInfo {
  kind: "memory" | "server" | "sqlite";
  path: string;
  size_bytes: number | null;
  wal_bytes: number | null;
  sqlite_version: string;
  wal_race: boolean;
}

/**
 * What a stream sends that is no event: it ends (`end`), or what was seen is in the log no more (`reset`).
 *
 * `error`: the class of the error that ends it. Of a `reset`: whose events up to which seq were seen, and the head.
 */
export interface StreamNotice {
  reason: string;
  error?: string;
  session?: string;
  seen?: number;
  head?: number;
}

/** A named stream of the run got one more item. */
export interface StreamUpdate {
  type: "stream_update";
  name: string;
  item: Json;
}

/** A block of the message that is being streamed, as far as it had come: of a long one its end. */
export interface StreamedBlock {
  kind: string;
  name: string;
  text: string;
  characters: number;
}

/**
 * Rows of the table that are new or have changed, and the ids of sessions that are gone.
 *
 * `watched`: how many sessions are watched. `more`: there are others, which were updated before all of these, and of
 * which nothing is told until they change places.
 */
export interface TableBatch {
  sessions: TableRow[];
  gone: string[];
  watched: number;
  more: boolean;
}

/**
 * Rows of the table. `next`: the `after` of the page behind it, empty without one.
 *
 * `looked_at`: how many sessions were read for it.
 */
export interface TablePage {
  sessions: TableRow[];
  next: string;
  looked_at: number;
}

/**
 * `filter`: such as `status:failed model:opus cost>1 after:2026-11-01 "exact words"`.
 *
 * `sort`: what is largest, or latest, comes first. `after`: the `next` of the page before.
 */
export interface TableQuery {
  filter?: string;
  sort?: SessionSort;
  after?: string | null;
  limit?: number;
}

/** A row of the table: the session's own row in the log, how it stands and why, and how many forks it has. */
export interface TableRow {
  info: SessionInfo;
  status: string;
  reason: string;
  forks: number;
  duration_us: number;
}

/**
 * A task's function ended with a result, an error or a cancellation; or an attempt failed and another follows.
 *
 * `final`: no further attempt is made. `jitter_ppm`: what chance adds to the backoff. `retry_at_us`: when the next one
 * is made (release 0.1; the machine says it in a `retry` now).
 */
export interface TaskEnd {
  type: "task_end";
  result?: Json;
  error?: string;
  cancelled?: boolean;
  retry_at_us?: number | null;
  final?: boolean;
  jitter_ppm?: number;
}

/**
 * A task's function began; `parent` is the session that waits for it. A further attempt has no payload or tags.
 *
 * `retries`: how often it is tried again when it fails (absent: the log does not say), `backoff_us` how long after the
 * first failure. `token_limit`: how many tokens it may use, its children's included. `rules`: with 1 or more, a
 * cancelled task begins nothing more, and ends behind its runs, waits and children. `queue`: of the workers it is for.
 */
export interface TaskStart {
  type: "task_start";
  task: string;
  payload?: Json;
  attempt?: number;
  parent?: string;
  tags?: string[];
  retries?: number | null;
  backoff_us?: number;
  token_limit?: number | null;
  rules?: number;
  queue?: string;
}

/** Text. `signature` goes back byte for byte; `raw` holds the fields this program has no name for. */
export interface TextContent {
  type: "text";
  text: string;
  signature?: string;
  raw?: Json;
}

/** Which text of a message, and so many of its characters from one on, counted from 0. */
export interface TextQuery {
  of?: TextOf;
  from?: number;
  limit?: number;
}

/** A slice of a text; `end` is where the next one begins, `characters` how long all of it is. */
export interface TextSlice {
  text: string;
  end: number;
  characters: number;
}

/** A model's reasoning. When `redacted`, the signature is the provider's opaque data and the text is empty. */
export interface ThinkingContent {
  type: "thinking";
  thinking: string;
  signature?: string;
  redacted?: boolean;
  raw?: Json;
}

/**
 * The bars that lie within two times, by lanes in the order of their first bar; and the times of the whole.
 *
 * `first_tokens_left`: of so many bars that are one model call it was not read when the answer began; whoever asks
 * again is told of 500 more.
 */
export interface Timespans {
  indexed_to: number;
  began_us: number;
  ended_us: number;
  spans_in_all: number;
  bars: DrawnSpan[];
  first_tokens_left: number;
}

/**
 * Something outside may complete this token, once.
 *
 * `value_schema` is a JSON Schema; `default` is used at the deadline.
 */
export interface TokenCreate {
  type: "token_create";
  key: string;
  tags?: string[];
  value_schema?: Json;
  deadline_us?: number | null;
  default?: Json;
}

/**
 * A model's call of a tool.
 *
 * `id` is the provider's: it may repeat, be empty or come back later; a call's name in the log is its place.
 * `arguments` is JSON text exactly as received; empty means an empty object, and it may be invalid.
 */
export interface ToolCall {
  type: "tool_call";
  id: string;
  name: string;
  arguments?: string;
  signature?: string;
  raw?: Json;
}

/**
 * A tool call ended, well or badly; its result is now a fact.
 *
 * `result` is absent when the call was refused: then its start says everything (`refusal_result`).
 * `decided`: by executing it, by the machine, or adopted from `origin`.
 */
export interface ToolExecutionEnd {
  type: "tool_execution_end";
  message_seq: number;
  content_index: number;
  result?: ToolResult | null;
  is_error?: boolean;
  decided?: "adopted" | "executed" | "machine";
  origin?: Origin | null;
}

/**
 * A tool call was begun, or refused.
 *
 * `arguments`: JSON text, only if preparation changed what the model wrote.
 * `refused`: why it does not run; `reason` is the text for it where the refusal alone does not say it.
 * `no_approval_needed`: the tool's approval is by arguments, and for these it takes none.
 */
export interface ToolExecutionStart {
  type: "tool_execution_start";
  message_seq: number;
  content_index: number;
  name: string;
  attempt?: number;
  arguments?: string | null;
  refused?: Refusal | null;
  reason?: string;
  no_approval_needed?: boolean;
}

/** A running tool reported a partial result. */
export interface ToolExecutionUpdate {
  type: "tool_execution_update";
  message_seq: number;
  content_index: number;
  partial: ToolResult;
}

/** What a tool call came to. `terminate` in every result of a batch ends the run without another model call. */
export interface ToolResult {
  content?: (TextContent | ImageContent)[];
  details?: Json;
  terminate?: boolean;
}

/** What a tool answered, as the model reads it. */
export interface ToolResultMessage {
  role: "tool_result";
  tool_call_id: string;
  tool_name: string;
  content?: (TextContent | ImageContent)[];
  details?: Json;
  is_error?: boolean;
  raw?: Json;
}

/**
 * A tool as the model and the machine know it; `schema` is the JSON Schema of its arguments.
 *
 * `timeout_us`: how long a call may take; 0: any time. `approval`: whether somebody must agree before a call runs;
 * None: the log does not say (release 0.1 did not), and the machine holds its calls to no rule.
 */
export interface ToolSpec {
  name: string;
  schema: Json;
  description?: string;
  effect?: EffectKind;
  mode?: ToolMode;
  version?: string;
  timeout_us?: number;
  approval?: ApprovalKind | null;
}

/**
 * Messages in order, as they stood at a seq. `before`, `after`: how many more there are on either side.
 *
 * Results that stand with their calls in the window are not repeated as messages.
 */
export interface Transcript {
  session: string;
  seq: number;
  indexed_to: number;
  before: number;
  after: number;
  messages: ChatMessage[];
}

/** Which messages: so many that end before a seq, and so many from it on. `at`: as they stood at this seq. */
export interface TranscriptQuery {
  around?: number | null;
  before?: number;
  after?: number;
  at?: number | null;
}

/** A turn ended. */
export interface TurnEnd {
  type: "turn_end";
}

/** A turn began: one model call and its tool calls. */
export interface TurnStart {
  type: "turn_start";
}

/** `upto`: only up to this seq; by default all of it. */
export interface UptoQuery {
  upto?: number | null;
}

/**
 * Tokens of one model call; `raw` keeps the provider's own figures.
 *
 * `input_tokens` excludes cached ones; `reasoning_tokens` are part of `output_tokens`, `cache_write_1h_tokens` (kept
 * for an hour, at a price of their own) of `cache_write_tokens`.
 * `cost_microusd` is absent when no price is known; `prices` names the price list and its version.
 */
export interface Usage {
  input_tokens?: number;
  output_tokens?: number;
  cache_read_tokens?: number;
  cache_write_tokens?: number;
  cache_write_1h_tokens?: number;
  reasoning_tokens?: number;
  cost_microusd?: number | null;
  prices?: string;
  raw?: Json;
}

/**
 * What was used: tokens by kind, and the cost in millionths of a dollar where it is known.
 *
 * `unpriced`: answers whose price is not known.
 */
export interface Used {
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  reasoning_tokens: number;
  cost_microusd: number | null;
  unpriced: number;
}

/** What a person (or the program in their place) said. */
export interface UserMessage {
  role: "user";
  content: string | (TextContent | ImageContent)[];
  raw?: Json;
}

/** What was read and found; `ok` when no finding is a defect. */
export interface VerifyEnd {
  ok: boolean;
  elapsed_s: number;
  report: VerifyReport;
}

/** How far the log has been read: `sessions` of `sessions_in_all`, in so long. */
export interface VerifyProgress {
  sessions: number;
  sessions_in_all: number;
  facts: number;
  updates: number;
  defects: number;
  elapsed_s: number;
}

/** What `verify` read and found; `ok` when no finding is a defect. */
export interface VerifyReport {
  sessions: number;
  facts: number;
  updates: number;
  findings: Finding[];
}

/** A token or wait came to its end: the first of completion (by a message of the inbox), deadline, cancellation. */
export interface WaitEnd {
  type: "wait_end";
  key: string;
  outcome: "cancelled" | "completed" | "timed_out";
  value?: Json;
  decided_by?: string;
  push_seq?: number;
}

/** `wait`: seconds to wait for the end of the run; without it the answer comes as soon as it has begun. */
export interface WaitQuery {
  wait?: number;
}

/**
 * The run (or the call, which would run with `arguments` if not the model's) waits for a token or its deadline.
 *
 * `step`: the step that failed and is tried again then.
 */
export interface WaitStart {
  type: "wait_start";
  key: string;
  reason?: string;
  deadline_us?: number | null;
  call?: Place | null;
  arguments?: string | null;
  step?: string;
}

/**
 * An open wait, and what it is about.
 *
 * session, key: which one to decide. reason: approval, in_doubt, repeat, inbox, sleep, retry, child, or empty for a
 * token. deadline_us: when it ends by itself, or of a child is looked at in any case. tool, arguments: the call it
 * holds, with what. tags: the token's. step: the step that is tried again then. child: the session whose end is waited
 * for, which waits for nothing itself; child_status: how that stands, empty where it is yet to be made; queue: whose
 * workers take it, empty for the default one.
 */
export interface Waiting {
  session: string;
  key: string;
  reason: string;
  deadline_us: number | null;
  call: Place | null;
  tool: string;
  arguments: Record<string, Json>;
  tags: string[];
  step: string;
  child: string;
  child_status: string;
  queue: string;
}

/** A window: so many from one place on, counted from 0. */
export interface WindowQuery {
  from?: number;
  limit?: number;
}

/** A request as it goes over the wire, by the codec of its model; and whether it is the one on record. */
export interface WireBodyAnswer {
  request_seq: number;
  codec: string;
  recorded_codec: string;
  sha256: string;
  recorded_sha256: string;
  agrees: Agreement;
  body: Json;
}

/** What can be asked for: a query, a body, the answer, and the events of a stream by their names. */
export interface Routes {
  /** List sessions as a table: filtered and sorted. */
  "GET /api/sessions": {
    query: TableQuery;
    answer: TablePage;
  };
  /** Read the family of a session: its first ancestor, and all that was forked from it or started by it. */
  "GET /api/sessions/{session}/family": {
    answer: Family;
  };
  /** Compare two sessions but for their messages, and add up what both came to. */
  "GET /api/diff": {
    query: CompareQuery;
    answer: ComparisonHead;
  };
  /** Compare the messages of two sessions, page by page; equal ones are counted. */
  "GET /api/diff/pairs": {
    query: PairsQuery;
    answer: ComparisonPage;
  };
  /** Find a text in what was said; what a fork shares with its parent is found in the parent. */
  "GET /api/search": {
    query: FindTextQuery;
    answer: Hits;
  };
  /** Read what stands above a session's page. */
  "GET /api/sessions/{session}": {
    query: PartialQuery;
    answer: SessionHead;
  };
  /** Read all rows of a session's list, as columns. */
  "GET /api/sessions/{session}/rows": {
    query: PartialQuery;
    answer: RowColumns;
  };
  /** Read a window of the rows with their first words, of those that are indexed by now. */
  "GET /api/sessions/{session}/previews": {
    query: WindowQuery;
    answer: RowWindow;
  };
  /** Read a session at a seq: what happened there, how the run stood, and where to go from there. */
  "GET /api/sessions/{session}/at/{seq}": {
    answer: Jump;
  };
  /** Read how a wait or token ended that is open no more; 404 while it is open, and where there was none. */
  "GET /api/sessions/{session}/ended-waits": {
    query: EndedWaitQuery;
    answer: EndedWait;
  };
  /** Read the messages around a seq, with their calls and what came of these. */
  "GET /api/sessions/{session}/transcript": {
    query: TranscriptQuery;
    answer: Transcript;
  };
  /** Read a slice of what a message says, by its name; a result's is that of its message. */
  "GET /api/sessions/{session}/messages/{seq}/text": {
    query: TextQuery;
    answer: TextSlice;
  };
  /** Read events as they are stored; see the resource of the same name under /v1. */
  "GET /api/sessions/{session}/events": {
    query: EventsQuery;
    answer: EventPage;
  };
  /** Read all of one event, as it is stored. */
  "GET /api/sessions/{session}/events/{seq}": {
    answer: Json;
  };
  /** Read the session up to a seq as a test for pytest. */
  "GET /api/sessions/{session}/test": {
    query: UptoQuery;
    answer: PytestFile;
  };
  /** Read the session up to a seq as a file that an import reads, with what it inherits. */
  "GET /api/sessions/{session}/export": {
    query: UptoQuery;
  };
  /** Read the session as the page in one file, which works without a server. */
  "GET /api/sessions/{session}/file": {
    query: FileQuery;
  };
  /** Read the request that a seq is about, but for its messages: the one that led there, or that would come next. */
  "GET /api/sessions/{session}/requests/{seq}": {
    answer: RequestHead;
  };
  /** List a request's messages, a line each, and what was left out among them. */
  "GET /api/sessions/{session}/requests/{seq}/parts": {
    query: WindowQuery;
    answer: PartWindow;
  };
  /** Read a request's messages with their content. */
  "GET /api/sessions/{session}/requests/{seq}/contents": {
    query: WindowQuery;
    answer: PartContents;
  };
  /** Build a request again, and compare its digest, and that of its wire body, with those on record. */
  "GET /api/sessions/{session}/requests/{seq}/check": {
    answer: RequestCheck;
  };
  /** Write a request as it goes over the wire. */
  "GET /api/sessions/{session}/requests/{seq}/body": {
    answer: WireBodyAnswer;
  };
  /** Compare the request that a seq is about with another: what came, what is gone, what is otherwise. */
  "GET /api/sessions/{session}/requests/{seq}/changes": {
    query: ChangesQuery;
    answer: RequestChanges;
  };
  /** Read where an answer, or a call, has its paths, identifiers and numbers from. */
  "GET /api/sessions/{session}/sources/{seq}": {
    answer: SaidWhere;
  };
  /** Read all of a part by its hash; it never changes. */
  "GET /api/parts/{sha256}": {
    query: PartQuery;
    answer: Json;
  };
  /** Read what took time, as bars; of those that are one model call, also when its answer began to come. */
  "GET /api/sessions/{session}/spans": {
    query: SpansQuery;
    answer: Timespans;
  };
  /** Read the figures of model calls, from one on. */
  "GET /api/sessions/{session}/series": {
    query: WindowQuery;
    answer: CallSeries;
  };
  /** Stream what happens in a session: `event: rows`, each with the rows that changed and what is being said. */
  "GET /api/sessions/{session}/live": {
    query: LiveQuery;
    events: { rows: LiveBatch; end: StreamNotice; reset: StreamNotice };
  };
  /** Stream the rows of the table: `event: sessions`, those that were updated last first, then those that change. */
  "GET /api/live": {
    events: { sessions: TableBatch; end: StreamNotice; reset: StreamNotice };
  };
  /** Make a fork with what is otherwise in it, or, as a dry run, answer what it would be. */
  "POST /api/sessions/{session}/forks": {
    query: ForkQuery;
    body: PageFork;
    answer: ForkPreview | SessionInfo;
  };
  /** Set a bookmark, or the session's title. */
  "POST /api/sessions/{session}/labels": {
    body: LabelBody;
    answer: Head;
  };
  /** Copy messages of another session into this idle one, calls together with their results. */
  "POST /api/sessions/{session}/adopt": {
    body: AdoptBody;
    answer: Adopted;
  };
  /** Keep a message from the model from now on; it stays in the history. */
  "POST /api/sessions/{session}/hide": {
    body: NamedMessage;
    answer: Head;
  };
  /** Replace a message by another for the model, from now on; a text keeps its role and calls. */
  "POST /api/sessions/{session}/replace": {
    body: ReplacedMessage;
    answer: Head;
  };
  /** End a wait; the first decision counts. What does not fit is refused, and the wait stays open. */
  "POST /api/sessions/{session}/decide": {
    body: DecisionBody;
    answer: Head;
  };
  /** Queue a message for a run under way: it is delivered before the next model call. */
  "POST /api/sessions/{session}/steer": {
    body: SaidBody;
    answer: Head;
  };
  /** Queue a message that is delivered when the run would otherwise end. */
  "POST /api/sessions/{session}/follow-up": {
    body: SaidBody;
    answer: Head;
  };
  /** Send a message to the inbox of a task. */
  "POST /api/sessions/{session}/send": {
    body: SaidBody;
    answer: Head;
  };
  /** Ask the run under way to end. */
  "POST /api/sessions/{session}/abort": {
    body: AbortBody;
    answer: Head;
  };
  /** Say something to the session's agent, and run until nothing is left to do. */
  "POST /api/sessions/{session}/run": {
    query: WaitQuery;
    body: PromptBody;
    answer: RunAnswer | Head;
  };
  /** Go on with a session from wherever its log stops. */
  "POST /api/sessions/{session}/resume": {
    query: WaitQuery;
    answer: RunAnswer | Head;
  };
  /** Read where the log is and how large. */
  "GET /api/store": {
    answer: StoreInfo;
  };
  /** Read the whole log again, and find any changed, missing or added byte. */
  "POST /api/store/verify": {
    events: { progress: VerifyProgress; report: VerifyEnd; end: StreamNotice; reset: StreamNotice };
  };
  /** Read what the server lets the page do. */
  "GET /api/server": {
    answer: ServerInfo;
  };
}
