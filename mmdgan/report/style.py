"""The style sheet of pages: narrow and wide windows, light and dark ones, paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #5b6470; --line: #d5d9df; --ground: #ffffff; --shade: #f3f5f8;
  --link: #0b57a4; --warn: #9a3412; --warnground: #fff4ec; --good: #166534; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #a3acb8; --line: #3a414b; --ground: #15181c; --shade: #20252b; --link: #7ab7f5;
    --warn: #fdba74; --warnground: #33231a; --good: #86efac; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0 auto; padding: 0 1rem 2rem; max-width: 66rem; color: var(--ink); background: var(--ground);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 1.2rem 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-top: .4rem; border-top: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 46rem; overflow-wrap: anywhere; }
a { color: var(--link); }
.summary { color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
nav a { padding: .25rem 0; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { caption-side: top; text-align: left; color: var(--soft); padding: .2rem 0; }
th, td { padding: .28rem .7rem .28rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; }
.numbers td, .numbers thead th:not(:first-child) { text-align: right; }
.numbers td { white-space: nowrap; }
.numbers td.long { white-space: normal; min-width: 9rem; }
.words td { max-width: 28rem; min-width: 3.6rem; }
.words td.long { min-width: 9.5rem; overflow-wrap: anywhere; }
.differs, .warning { color: var(--warn); }
.unknown { color: var(--soft); }
.best, .good { color: var(--good); }
p.warning { background: var(--warnground); border-left: 4px solid var(--warn); padding: .4rem .7rem; }
p.missing { color: var(--soft); border-left: 4px solid var(--line); padding: .2rem .7rem; }
figure { margin: .8rem 0; min-width: 0; max-width: 34rem; }
figure.wide { max-width: none; }
figure svg { display: block; width: 100%; height: auto; background: #fff; border-radius: 4px; }
figure img { display: block; width: 100%; height: auto; image-rendering: pixelated; border-radius: 2px; }
figcaption { color: var(--soft); font-size: .92rem; margin-top: .25rem; }
.plots, .thumbs { display: grid; gap: 0 1.2rem; align-items: start; }
.plots { grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
.thumbs { grid-template-columns: repeat(auto-fit, minmax(min(44%, 16rem), 1fr)); gap: 0 .8rem; }
pre { overflow-x: auto; background: var(--shade); padding: .6rem .8rem; border-radius: 4px; font-size: .85rem;
  line-height: 1.4;
  font-family: ui-monospace, "DejaVu Sans Mono", "Liberation Mono", Menlo, Consolas, monospace; }
details { margin: .6rem 0; }
summary { cursor: pointer; padding: .3rem 0; color: var(--link); }
footer { margin-top: 3rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .9rem; }
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --ground: #fff; --shade: #f4f4f4;
    --warn: #7c2d12; --warnground: #fff; --good: #14532d; --link: #000; }
  @page { margin: 15mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  summary { list-style: none; color: var(--ink); font-weight: 600; }
  summary::-webkit-details-marker { display: none; }
  h2, summary { break-after: avoid; }
  figure, tr, p { break-inside: avoid; }
  .scroll { overflow: visible; }
  .numbers td { white-space: normal; }
  pre { white-space: pre-wrap; font-size: 6.5pt; }
  details::details-content { content-visibility: visible; block-size: auto; }
  details.screen { display: none; }
  .plots { grid-template-columns: repeat(2, 1fr); }
  .thumbs { grid-template-columns: repeat(3, 1fr); }
  figure { max-width: 9cm; }
}
"""
