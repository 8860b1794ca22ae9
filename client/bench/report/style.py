"""The look of the page, and the one thing that it does: hand out its data as a file."""

from __future__ import annotations

CSS = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 70rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; }
h2 { font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 2px solid #0072B2; padding-bottom: .2rem; }
h3 { font-size: 1.05rem; margin-top: 1.8rem; }
.lead { color: #555; margin-top: 0; }
.simulated { background: #F0E442; padding: .6rem .9rem; font-weight: 600; }
.warning { background: #fdf1e3; border-left: 4px solid #E69F00; padding: .5rem .9rem .5rem 2rem; }
pre { background: #f4f4f4; padding: .6rem .8rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; text-align: left; color: #555; padding-top: .3rem; }
th, td { padding: .25rem .5rem; text-align: right; vertical-align: top; border-bottom: 1px solid #e6e6e6;
  white-space: nowrap; }
th:first-child { text-align: left; white-space: normal; min-width: 8rem; }
thead th { border-bottom: 2px solid #999; vertical-align: bottom; white-space: normal; }
tbody th { font-weight: 600; }
small { color: #666; display: block; font-weight: 400; }
.yes { color: #00694d; font-weight: 600; }
.no { color: #a84300; font-weight: 700; }
.untold { color: #666; }
figure { margin: 1.2rem 0; }
figure svg { width: 100%; height: auto; }
figcaption { color: #555; font-size: .85rem; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .3rem 1rem; font-size: .9rem; }
dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; }
button { font: inherit; padding: .3rem .9rem; cursor: pointer; }
@media print { button { display: none; } body { max-width: none; } }
"""

SCRIPT = """
document.getElementById("download").addEventListener("click", () => {
  const data = document.getElementById("results").textContent;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([data], {type: "application/json"}));
  link.download = "results.json";
  link.click();
  URL.revokeObjectURL(link.href);
});
"""
