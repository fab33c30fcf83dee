"""The style sheet of reports: light, dark and print, responsive."""

STYLE = """
:root{color-scheme:light dark;--ink:#1c2126;--soft:#5b6670;--paper:#fff;--card:#f4f6f8;
--rule:#d5dbe0;--line:#0072b2;--mark:#d55e00}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaee;--soft:#9aa6b1;--paper:#14181c;
--card:#1e242a;--rule:#3a444d;--line:#56b4e9;--mark:#e69f00}}
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--paper:#fff;--card:#fff;
--rule:#bbb;--line:#0072b2;--mark:#d55e00}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:64rem;margin:auto;padding:1rem}
h1{font-size:1.6rem;overflow-wrap:anywhere}h2{font-size:1.2rem;margin-top:2.5rem}
ul{padding-left:1.2rem;max-width:46rem}p{max-width:46rem;color:var(--soft)}
.tiles,.charts{display:grid;gap:.75rem;margin:0}
.tiles{grid-template-columns:repeat(3,1fr)}.charts{grid-template-columns:repeat(2,1fr)}
.tiles div,.charts figure{background:var(--card);border:1px solid var(--rule);border-radius:.5rem;
padding:.75rem}
dt,dd+dd,figcaption,.strip span,.legend{font-size:.85rem;color:var(--soft)}
dd{margin:0;font-size:1.5rem;font-variant-numeric:tabular-nums}
figure{margin:0;break-inside:avoid}figcaption b{color:var(--ink);overflow-wrap:anywhere}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font-size:12px}
.grid{stroke:var(--rule);fill:none}.bar{fill:var(--line)}
.line{fill:none;stroke:var(--line);stroke-width:2;stroke-linejoin:round}.old{opacity:.5}
.dot{fill:var(--line)}.faint{opacity:.6}.best{fill:none;stroke:var(--mark);stroke-width:2}
.mark{stroke:var(--mark);stroke-dasharray:4 3;fill:none}
.case{margin:1.25rem 0}.strip{display:grid;grid-template-columns:repeat(4,1fr);gap:.5rem}
.strip img{display:block;width:100%;max-width:384px;background:#000}
.legend i{display:inline-block;width:1em;height:1em;vertical-align:-.15em;margin-left:.6em;
print-color-adjust:exact;-webkit-print-color-adjust:exact}
@media (max-width:36rem){.strip,.tiles{grid-template-columns:repeat(2,1fr)}
.charts{grid-template-columns:1fr}}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.25rem .6rem;border-bottom:1px solid var(--rule);text-align:right;font-weight:400}
td{white-space:nowrap}.facts td{white-space:normal}
thead th{color:var(--soft);white-space:nowrap}tr{break-inside:avoid}
th:first-child,.facts td{text-align:left;overflow-wrap:anywhere}
tbody th:first-child{min-width:6rem}
.facts th{color:var(--soft);white-space:nowrap;vertical-align:top}
pre{overflow-x:auto;background:var(--card);padding:.75rem;font-size:.8rem}
"""
