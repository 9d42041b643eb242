/* The figure of the front page: a slider over feedback strength, and choices of the circuit. It
   shows the cells of strength_cells.js, which docs/drawings/strength_cells.py has measured, and
   computes nothing but their division by the noise. */
(function () {
  "use strict";
  const data = window.strengthCells;
  const home = document.getElementById("strength");
  if (!home || !data) return;

  const NAMES = {
    gait: "GAIT", itp: "ITP", orthogonal: "orthogonal", gaussian: "Gaussian",
    leaky_relu: "leaky ReLU", asinh: "asinh",
  };
  const CHOICES = [
    ["depths", "hidden layers", String],
    ["pathways", "feedback", (one) => NAMES[one] + " pathway"],
    ["weights", "weights", (one) => NAMES[one]],
    ["units", "units", (one) => NAMES[one]],
    ["sigmas", "noise of the rates", (one) => "σ = " + one],
  ];
  const chosen = { depths: 3, pathways: "gait", weights: "orthogonal", units: "leaky_relu", sigmas: 0.01 };
  let at = data.gammas.indexOf(0.01);

  const PANELS = [
    { key: "shift", title: "Shift of each layer (norm over units)", range: [1e-20, 1e10], log: true },
    { key: "cosine", title: "Cosine with back-propagation's weight change", range: [-0.5, 1] },
    { key: "snr", title: "Signal to noise, averaged over " + data.average + " τ", range: [1e-20, 1e6], log: true, line: 1 },
    { key: "settled", title: "Images settled, of " + data.batch, range: [0, data.batch] },
  ];

  // --- numbers ---

  function cells() {
    return data.cells[[chosen.depths, chosen.pathways, chosen.weights, chosen.units].join(" ")];
  }

  function values(key) {
    if (key === "settled") return cells().map((one) => one.settled);
    const found = cells()[at][key] || [];
    return key === "snr" ? found.map((one) => one / chosen.sigmas) : found;
  }

  function told(value) {
    const size = Math.abs(value);
    return size === 0 || (size >= 0.01 && size < 1000)
      ? String(Number(value.toPrecision(3)))
      : value.toExponential(1).replace(/e\+?(.*)/, (_, exponent) => " × " + power(Number(exponent)));
  }

  function power(exponent) {
    const raised = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
    return exponent === 0 ? "1" : "10" + String(exponent).split("").map((one) => raised[one]).join("");
  }

  // --- drawing ---

  function element(name, attributes, parent, words) {
    const space = name === "svg" || (parent && parent.namespaceURI.endsWith("svg"))
      ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
    const made = document.createElementNS(space, name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    if (words !== undefined) made.textContent = words;
    if (parent) parent.appendChild(made);
    return made;
  }

  function ticks(panel) {
    if (!panel.log) {
      return panel.key === "cosine" ? [-0.5, 0, 0.5, 1] : [0, data.batch / 2, data.batch];
    }
    const [low, high] = panel.range.map(Math.log10);
    const found = [];
    for (let one = Math.ceil(low / 6) * 6; one <= high; one += 6) found.push(10 ** one);
    return found;
  }

  function draw(panel) {
    const width = panel.place.clientWidth, height = 190;
    const box = { left: 46, right: width - 14, top: 12, bottom: height - 40 };
    const scale = panel.log ? Math.log10 : (one) => one;
    const [low, high] = panel.range.map(scale);
    const overGamma = panel.key === "settled";
    const x0 = box.left + 16, x1 = box.right - 12;
    const last = overGamma ? data.gammas.length : Number(chosen.depths) + 1;
    const x = (place) => overGamma
      ? x0 + (x1 - x0) * Math.log(data.gammas[place] / data.gammas[0]) /
        Math.log(data.gammas[last - 1] / data.gammas[0])
      : x0 + ((x1 - x0) * place) / (last - 1);
    const y = (value) => {
      const part = (scale(value) - low) / (high - low);
      return box.bottom - (box.bottom - box.top) * Math.min(1, Math.max(0, part));
    };
    const found = values(panel.key);
    const svg = panel.svg;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);

    ticks(panel).forEach((one) => {
      element("line", { x1: box.left, x2: box.right, y1: y(one), y2: y(one), class: "grid" }, svg);
      const words = panel.log ? power(Math.round(Math.log10(one))) : String(one);
      element("text", { x: box.left - 6, y: y(one) + 4, class: "end tick", "data-value": one }, svg, words);
    });
    if (panel.line) {
      element("line", { x1: box.left, x2: box.right, y1: y(panel.line), y2: y(panel.line), class: "limit" }, svg);
      element("text", { x: box.left + 4, y: y(panel.line) - 5 }, svg, "as much noise as signal");
    }
    const names = overGamma ? [0.001, 0.01, 0.1, 0.9].map((one) => [data.gammas.indexOf(one), one])
      : Array.from({ length: last }, (_, place) => [place, place + 1 < last ? place + 1 : "output"]);
    names.forEach(([place, words]) => element("text", { x: x(place), y: height - 22, class: "middle" }, svg, words));
    element("text", { x: (x0 + x1) / 2, y: height - 5, class: "middle" }, svg, overGamma ? "feedback strength γ" : "layer");

    if (!found.length) {
      element("text", { x: (x0 + x1) / 2, y: (box.top + box.bottom) / 2, class: "middle" }, svg, missing(panel.key));
    } else {
      const points = found.map((one, place) => `${x(place)},${y(one)}`).join(" ");
      element("polyline", { points, class: "curve" }, svg);
      if (overGamma) {
        element("line", { x1: x(at), x2: x(at), y1: box.top, y2: box.bottom, class: "limit" }, svg);
      }
      found.forEach((one, place) => {
        if (overGamma && place !== at) return;
        element("circle", { cx: x(place), cy: y(one), r: 5, class: "point", "data-value": one }, svg);
      });
    }
    svg.setAttribute("aria-label", panel.title + ": " + inWords(panel.key));
  }

  function missing(key) {
    const cell = cells()[at];
    if (!cell.settled) return "no image settled";
    return key === "snr" && !cell.smooth ? "every image has units at a kink" : "fluctuations grow";
  }

  function inWords(key) {
    const found = values(key);
    if (key === "settled") return `${found[at]} of ${data.batch}`;
    return found.length
      ? found.map((one, place) => `layer ${place + 1} ${told(one)}`).join(", ") : missing(key);
  }

  // --- what the reader holds ---

  const controls = element("div", { class: "controls" }, home);
  const strength = element("label", { class: "wide" }, controls);
  const shown = element("span", {}, strength);
  const slider = element("input", {
    type: "range", min: 0, max: data.gammas.length - 1, step: 1, value: at, id: "strength-gamma",
  }, strength);
  CHOICES.forEach(([key, words, name]) => {
    const label = element("label", {}, controls, words + " ");
    const select = element("select", { id: "strength-" + key }, label);
    data[key].forEach((one) => element("option", { value: one }, select, name(one)));
    select.value = String(chosen[key]);
    select.addEventListener("change", () => {
      chosen[key] = select.value;
      update();
    });
  });
  const said = element("p", { class: "said", role: "status" }, home);
  const grid = element("div", { class: "panels" }, home);
  PANELS.forEach((panel) => {
    const figure = element("figure", {}, grid);
    element("figcaption", {}, figure, panel.title);
    panel.place = element("div", {}, figure);
    panel.svg = element("svg", { role: "img", id: "strength-" + panel.key }, panel.place);
  });
  const details = element("details", {}, home);
  element("summary", {}, details, "The numbers as a table");
  const table = element("table", {}, element("div", { class: "scroll" }, details));
  element("p", { class: "source" }, home,
    `Measured, not drawn by hand: ${data.batch} images of ${data.dataset}, layers of ${data.width} units, ` +
    `seed ${data.seed}; settled by the method direct, noise by linear theory, over ${data.noisy} images at most. ${data.command}, ${data.date}, ${data.machine}.`);

  function tabulate() {
    table.replaceChildren();
    const layers = Array.from({ length: Number(chosen.depths) + 1 }, (_, place) => place);
    const head = element("tr", {}, table);
    ["layer", ...layers.map((one) => one + 1)].forEach((one) => element("th", { scope: "col" }, head, one));
    [["shift", "shift"], ["cosine", "cosine"], ["snr", "signal to noise"]].forEach(([key, words]) => {
      const row = element("tr", {}, table), found = values(key);
      element("th", { scope: "row" }, row, words);
      layers.forEach((one) => element("td", {}, row, found.length ? told(found[one]) : "none"));
    });
  }

  function update() {
    const gamma = data.gammas[at];
    shown.textContent = `feedback strength γ = ${gamma}`;
    slider.setAttribute("aria-valuetext", `gamma ${gamma}`);
    const cosine = values("cosine"), snr = values("snr");
    said.textContent = `${cells()[at].settled} of ${data.batch} images settle. Layer 1: ` + (cosine.length
      ? `cosine with back-propagation ${told(cosine[0])}, signal to noise ${snr.length ? told(snr[0]) : "none: " + missing("snr")}.`
      : "nothing to learn from.");
    PANELS.forEach(draw);
    tabulate();
  }

  slider.addEventListener("input", () => {
    at = Number(slider.value);
    update();
  });
  new ResizeObserver(() => PANELS.forEach(draw)).observe(grid);
  update();
})();
