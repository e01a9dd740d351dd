"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const get = (id) => document.getElementById(id);

function theme(colours) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue("--" + name).trim();
  const text = {labelColor: colour("soft"), titleColor: colour("soft"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal"};
  return {
    background: null, font: getComputedStyle(document.body).fontFamily,
    view: {stroke: null}, text: {color: colour("ink")},
    style: {halo: {color: colour("card"), stroke: colour("card"), strokeWidth: 4, strokeJoin: "round"}},
    range: {category: colours.map(colour)},
    axis: {...text, gridColor: colour("line"), domainColor: colour("line"), tickColor: colour("line")},
    legend: {...text, symbolType: "circle", symbolOpacity: 1},
  };
}

// Draw the charts that there are, and anew where the page turns dark or light. `colours`: those of each, by its id.
function drawCharts(colours) {
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  async function draw() {
    for (const id in colours) {
      if (!data.charts[id]) { get(id).closest("section").hidden = true; continue; }
      const spec = {...data.charts[id], config: theme(colours[id]), autosize: {type: "fit-x", contains: "padding"}};
      await vegaEmbed(get(id), spec, {actions: false, renderer: "svg", tooltip: {theme: darkness.matches ? "dark" : "light"}});
    }
    document.body.dataset.drawn = "yes";
  }
  draw();
  darkness.addEventListener("change", draw);
}
