"""The style sheet of everything that pgmagic draws as HTML.

Colours follow the front end's `--jp-*` variables, greys are mixed from the text colour, so that
themes nobody has thought of work too. JupyterLab marks the widgets of a kernel that has ended
with the class `jupyter-widgets-disconnected`, at once. Where style sheets are taken away, as on
GitHub, tables, numbers and words remain.
"""

__all__ = ["STALE_AFTER", "STYLE"]

STALE_AFTER = 4  # seconds without a redraw until a live drawing says so

_RULES = """
.pgm {
  --ok: #1a7f45; --warn: #8f5300; --bad: #c62828;
  --accent: var(--jp-brand-color1, #1976d2);
  --dim: var(--jp-ui-font-color2, #616161);
  --track: color-mix(in srgb, currentColor 13%, transparent);
  --line: color-mix(in srgb, currentColor 14%, transparent);
  color: var(--jp-ui-font-color1, inherit);
  font: 12px/1.5 var(--jp-ui-font-family, system-ui, sans-serif);
  font-variant-numeric: tabular-nums;
}
[data-jp-theme-light="false"] .pgm, body.vscode-dark .pgm, html[theme="dark"] .pgm {
  --ok: #66d18f; --warn: #ffb74d; --bad: #ff8a80;
}
.pgm .dim { color: var(--dim) }
.pgm .ok { color: var(--ok) }
.pgm .warn { color: var(--warn) }
.pgm .bad { color: var(--bad) }
.pgm b { font-weight: 600 }
.pgm.pgm code { font: 11.5px var(--jp-code-font-family, monospace); background: none; padding: 0;
  color: inherit }
.pgm .unseen { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap }
.pgm svg { display: block }

.pgm.pgm table { border-collapse: collapse; table-layout: auto; margin: 0; border: 0;
  font: inherit; color: inherit; width: 100% }
.pgm.pgm tr, .pgm.pgm tbody tr:nth-child(odd), .pgm.pgm tbody tr:hover { background: none }
.pgm.pgm th, .pgm.pgm td { border: 0; padding: 4px 9px; text-align: right; background: none;
  font-weight: 400; white-space: nowrap; vertical-align: middle; line-height: 1.5;
  max-width: none }
.pgm.pgm thead th { color: var(--dim); padding: 5px 9px 3px; vertical-align: bottom }
.pgm.pgm .left { text-align: left }
.pgm.pgm tbody th { text-align: left; font-weight: 600; max-width: 200px; overflow: hidden;
  text-overflow: ellipsis }
.pgm.pgm th:first-child, .pgm.pgm td:first-child { padding-left: 14px }
.pgm.pgm th:last-child, .pgm.pgm td:last-child { padding-right: 14px }

.pgm-frame { max-width: 940px; border-radius: 10px; overflow-x: auto;
  border: 1px solid color-mix(in srgb, var(--jp-ui-font-color1, #888) 14%, transparent) }
.pgm.card > header { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 16px;
  padding: 7px 14px }
.pgm.card > header .title { font-weight: 650; font-size: 13px }
.pgm.card > header .chips { display: flex; flex-wrap: wrap; gap: 6px; margin-left: auto }
.pgm .chip { border-radius: 99px; padding: 1px 10px 1px 8px; font-weight: 600;
  background: color-mix(in srgb, currentColor 11%, transparent) }
.pgm.pgm tr.database { border-top: 1px solid var(--line) }
.pgm.pgm tr.note td { padding-top: 0; padding-bottom: 6px; text-align: left;
  white-space: normal; line-height: 1.4 }
.pgm.card > footer { display: flex; flex-wrap: wrap; gap: 2px 14px; padding: 5px 14px 6px;
  border-top: 1px solid var(--line); color: var(--dim); font-size: 11px }
.pgm .key { display: inline-block; width: 9px; height: 9px; border-radius: 2px;
  margin: 0 4px -1px 0 }
.pgm .key.used { background: var(--accent) }
.pgm .key.idle { background: color-mix(in srgb, var(--accent) 40%, transparent) }
.pgm .key.left { background: var(--track) }
.pgm .use { display: inline-flex; align-items: center; gap: 9px }
.pgm .bar { display: inline-flex; width: 112px; height: 8px; border-radius: 4px;
  background: var(--track); overflow: hidden; flex: none }
.pgm .bar i { background: var(--accent) }
.pgm .bar u { background: color-mix(in srgb, var(--accent) 40%, transparent) }
.pgm .hot .bar i { background: var(--bad) }
.pgm .spark polygon { fill: color-mix(in srgb, var(--accent) 16%, transparent) }
.pgm .spark polyline { fill: none; stroke: var(--accent); stroke-width: 1.3 }
.pgm .hot .spark polygon { fill: color-mix(in srgb, var(--bad) 14%, transparent) }
.pgm .hot .spark polyline { stroke: var(--bad) }

.pgm .stale { display: none }
.pgm.live .stale { display: block; max-height: 0; overflow: hidden; visibility: hidden;
  color: var(--bad); font-weight: 600; animation: pgm-appear 1ms linear STALE_AFTERs forwards }
.pgm.live .fading { animation: pgm-fade 1ms linear STALE_AFTERs forwards }
.pgm .gone { display: none }
.jupyter-widgets-disconnected .pgm.live .gone { display: block; color: var(--bad);
  font-weight: 600 }
.jupyter-widgets-disconnected .pgm.live .stale, .jupyter-widgets-disconnected .pgm .now,
.pgm-button.pgm-button.jupyter-widgets-disconnected { display: none }
.jupyter-widgets-disconnected .pgm.live .fading,
.jupyter-widgets-disconnected .pgm.live > header { animation: none; opacity: .55;
  filter: grayscale(1) }
.pgm-frame.jupyter-widgets-disconnected::before, .pgm-run.jupyter-widgets-disconnected::before,
.pgm-frame .jupyter-widgets-disconnected::before,
.pgm-run .jupyter-widgets-disconnected::before { content: none }
@keyframes pgm-appear { to { visibility: visible; max-height: 2em } }
@keyframes pgm-fade { to { opacity: .55; filter: grayscale(1) } }

.pgm.pgm.activity table { margin: 3px 0 }
.pgm.pgm.activity th, .pgm.pgm.activity td { height: 30px; padding-top: 0; padding-bottom: 0 }
.pgm.pgm.activity td.what { text-align: left; width: 100%; max-width: 0; overflow: hidden;
  text-overflow: ellipsis }
.pgm-button.pgm-button { --ink: #c62828; color: var(--ink); background: transparent;
  width: auto; height: 24px; margin: 3px 0; padding: 0 11px; border-radius: 6px;
  box-shadow: none; border: 1px solid color-mix(in srgb, var(--ink) 45%, transparent);
  font-weight: 600; font-size: 12px; line-height: 22px; flex: none; max-width: 180px;
  overflow: hidden; text-overflow: ellipsis }
[data-jp-theme-light="false"] .pgm-button.pgm-button { --ink: #ff8a80 }
.pgm-button.pgm-button.pgm-retry.pgm-retry { --ink: var(--jp-brand-color1, #1976d2) }
.pgm-button.pgm-button:hover { background: color-mix(in srgb, var(--ink) 10%, transparent) }
.pgm-button.pgm-button:focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2);
  outline-offset: 2px }
.pgm-buttons.pgm-buttons { flex: none; align-items: stretch; margin: 3px 14px 3px 0 }
.pgm-buttons .pgm-nothing { height: 30px }
.pgm-going-on { border-top: 1px solid color-mix(in srgb, var(--jp-ui-font-color1, #888) 14%,
  transparent) }
.pgm-frame .widget-html, .pgm-frame .widget-html-content, .pgm-run .widget-html,
.pgm-run .widget-html-content { margin: 0; min-width: 0; width: auto; height: auto;
  line-height: normal; align-self: stretch }

.pgm.pgm.lines th, .pgm.pgm.lines td { padding: 1.5px 6px; height: auto }
.pgm.pgm.lines table { width: auto }
.pgm.lines .stale { padding-left: 14px }
.pgm.pgm.lines .mark { width: 12px }
.pgm.pgm.lines .flow { padding: 0 6px }
.pgm .wheel { display: block; box-sizing: border-box; width: 11px; height: 11px;
  border-radius: 50%; border: 2px solid var(--track); border-top-color: var(--accent);
  animation: pgm-turn 1s linear infinite }
.pgm .track { display: block; width: 150px; height: 5px; border-radius: 3px; overflow: hidden;
  background: var(--track) }
.pgm .track i { display: block; height: 100% }
.pgm .track.full i { background: var(--ok) }
.pgm .track.broken i { background: var(--bad); width: 100% }
.pgm .track.moving i { width: 38%; animation: pgm-flow 1.6s ease-in-out infinite alternate;
  background: linear-gradient(90deg, transparent, var(--accent), transparent) }
.pgm-run { border: 1px solid color-mix(in srgb, var(--jp-ui-font-color1, #888) 14%, transparent);
  border-radius: 8px; padding: 5px 10px 6px 4px; width: fit-content; align-items: center;
  gap: 12px }
@keyframes pgm-turn { to { transform: rotate(1turn) } }
@keyframes pgm-flow { from { margin-left: -10% } to { margin-left: 72% } }
@media (prefers-reduced-motion: reduce) {
  .pgm .wheel, .pgm .track.moving i { animation: none }
  .pgm .track.moving i { margin-left: 31% }
}
@media (forced-colors: active) {
  .pgm .bar, .pgm .track { border: 1px solid; forced-color-adjust: none }
}
"""

STYLE = f"<style>{_RULES.replace('STALE_AFTER', str(STALE_AFTER)).strip()}</style>"
