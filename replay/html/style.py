"""The style of a page: one column, the reader's own fonts and colours, quiet until something failed."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --dim: #6a7078; --line: #e2e4e8; --paper: #fff; --soft: #f5f6f8;
  --user: #2f6f4f; --model: #2b5fa8; --tool: #8a5a00; --other: #7a4a9a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --dim: #989ea8; --line: #33373e; --paper: #16181c;
  --soft: #1f2228; --user: #7cc7a0; --model: #8db6f0; --tool: #e0b060; --other: #c79be6; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 54rem; padding: 2rem 1.25rem 6rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0; } h2 { font-size: 1.2rem; margin: 3rem 0 0; }
a { color: inherit; } a:hover { color: var(--model); }
.fact, .mark, h3 { color: var(--dim); font-size: .85rem; margin: .2rem 0; }
nav { margin: 1rem 0; padding: .6rem 1rem; background: var(--soft); border-radius: .5rem; font-size: .9rem; }
nav ul { list-style: none; margin: 0; padding-left: 1.1rem; } nav > ul { padding-left: 0; }
article { margin: 1.4rem 0; padding-left: 1rem; border-left: 3px solid var(--line); }
article.user { border-color: var(--user); } article.assistant { border-color: var(--model); }
article.tool_result { border-color: var(--tool); } article.other { border-color: var(--other); }
article.unseen { opacity: .75; }
h3 { font-weight: normal; display: flex; gap: .6rem; flex-wrap: wrap; align-items: baseline; }
h3 b { color: var(--ink); } h3 a { text-decoration: none; font-variant-numeric: tabular-nums; }
.text, pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .35rem 0; }
pre { background: var(--soft); border-radius: .4rem; padding: .6rem .8rem; max-height: 32rem; overflow: auto;
  font: .84rem/1.5 ui-monospace, monospace; }
code { font: .84rem ui-monospace, monospace; overflow-wrap: anywhere; }
details { margin: .45rem 0; } summary { cursor: pointer; } summary:hover { color: var(--model); }
.call > summary b { color: var(--tool); } .thinking { color: var(--dim); font-style: italic; }
.bad, .call.failed > summary b { color: var(--bad); }
.mark { padding-left: 1rem; } .mark pre { font-size: .8rem; }
img { max-width: 100%; max-height: 30rem; border-radius: .4rem; display: block; margin: .5rem 0; }
article:target, section:target > h2 { outline: 2px solid var(--model); outline-offset: .4rem; }
@media print { details > * { display: block; } pre { max-height: none; } }
"""
