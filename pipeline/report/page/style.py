"""The look of the page. No class has the name of one in the graph's drawing, which has its own."""

STYLE = """
:root { color-scheme: light }
* { box-sizing: border-box }
body { margin: 0; background: #fff; color: #1a1a1a; font: 16px/1.5 system-ui, "Segoe UI", Roboto,
  "Helvetica Neue", "Liberation Sans", Arial, sans-serif }
main { max-width: 1120px; margin: 0 auto; padding: 24px 20px 60px; overflow-wrap: anywhere }
h1 { margin: 0; font-size: 30px; line-height: 1.2 }
h2 { margin: 44px 0 12px; padding-top: 14px; border-top: 1px solid #c8c8c8; font-size: 22px }
h3 { margin: 26px 0 8px; font-size: 17px }
h4 { margin: 0; font-size: 15px }
h4 small, td small, dd small { font-weight: normal; color: #595959 }
p { margin: 6px 0; max-width: 75ch }
.lead { font-size: 18px }
.note { font-size: 14px; color: #595959 }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; margin-top: 18px; font-size: 15px }
a { color: #0072b2 }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
  margin: 18px 0 12px }
.tiles div { padding: 10px 14px; border: 1px solid #c8c8c8; border-left: 4px solid #0072b2;
  border-radius: 4px }
.tiles .bad { border-left-color: #d55e00 }
.tiles dt { font-size: 14px; color: #595959 }
.tiles dd { margin: 0; line-height: 1.25 }
.tiles b { font-size: 23px; white-space: nowrap }
.tiles small { display: block; font-size: 13px }
.scrolling { max-width: 100%; overflow-x: auto }
.scrolling:focus-visible { outline: 2px solid #0072b2 }
table { border-collapse: collapse; font-size: 15px; overflow-wrap: break-word }
.long { display: inline-block; min-width: 190px; overflow-wrap: anywhere }
.name { display: inline-block; overflow-wrap: anywhere }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid #e2e2e2; text-align: left;
  vertical-align: top; font-variant-numeric: tabular-nums }
tbody th { font-weight: normal }
thead th { border-bottom: 2px solid #767676; font-size: 14px; vertical-align: bottom }
.number { text-align: right; white-space: nowrap }
time { white-space: nowrap }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
.code, pre { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: 13px }
pre { margin: 4px 0; padding: 8px 10px; background: #f4f4f4; border-radius: 4px;
  white-space: pre-wrap }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(240px, 100%), 1fr));
  gap: 20px 28px }
figure { margin: 0 0 14px; min-width: 0 }
.figures h3 { margin: 8px 0 }
.bars table { width: 100%; max-width: 420px; font-size: 14px }
.bars th, .bars td { padding: 2px 10px 2px 0; border: 0 }
.bars thead th { padding-bottom: 4px; border-bottom: 1px solid #c8c8c8; font-size: 13px }
.bars th:last-child, .bars td:last-child { width: 35%; padding-right: 0; vertical-align: middle }
.bar { display: block; min-width: 2px; height: 13px; background: #0072b2;
  print-color-adjust: exact; -webkit-print-color-adjust: exact }
.quantiles { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 2px 6px;
  max-width: 300px; margin: 4px 0 0; font-size: 13px; font-variant-numeric: tabular-nums }
.quantiles dt { color: #595959 }
.quantiles dd { margin: 0 }
.heat { border-collapse: separate; border-spacing: 2px; font-size: 14px }
.heat small { display: block; color: #595959 }
.heat b { font-weight: 600 }
.heat th { min-width: 84px; max-width: 130px; border: 0; font-weight: normal;
  padding: 4px 10px 4px 0 }
.heat thead th { padding: 4px; text-align: center; border: 0 }
.heat td { min-width: 74px; padding: 9px 6px; border: 0; text-align: center;
  print-color-adjust: exact; -webkit-print-color-adjust: exact }
.heat thead td { min-width: 0 }
.heat .same { color: #767676; background: #f4f4f4 }
.legend { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 16px; font-size: 14px;
  max-width: none }
.legend i { display: inline-block; width: 14px; height: 14px; margin-right: 6px;
  vertical-align: -2px; print-color-adjust: exact; -webkit-print-color-adjust: exact }
.legend .stroke { width: 24px; height: 0; border-top: 3px solid; vertical-align: 4px }
.legend .dashed { border-top-style: dashed }
.legend span[style] { padding: 1px 9px; border: 1px solid #c8c8c8; margin-right: -12px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact }
.chart { display: block; height: auto; overflow: visible }
.chart.small { width: 100%; max-width: 300px; margin-top: 4px }
.chart.wide { width: 100%; min-width: 840px }
.chart text { font: 12px system-ui, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif;
  fill: #404040 }
.chart .grid { stroke: #e2e2e2 }
.chart .axis { stroke: #767676 }
.chart .curve { fill: none; stroke-width: 2 }
.chart .mark { stroke-width: 1.5 }
.reason { margin: 14px 0 }
.examples { margin: 4px 0; padding-left: 20px }
.examples p { margin: 6px 0 2px }
@media (max-width: 480px) {
  main { padding: 16px 14px 40px }
  h1 { font-size: 25px }
  .tiles { grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)) }
}
@media print {
  main { max-width: none; padding: 0 }
  nav { display: none }
  h2, h3, h4 { break-after: avoid }
  figure, tr, .reason, .tiles, .chart { break-inside: avoid }
  .chart.wide { min-width: 0 }
  .scrolling { overflow: visible }
}
"""
