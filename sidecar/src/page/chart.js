// Plots of time, drawn as SVG: lines with a unit, axes and a legend.

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes = {}, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// A round number at or above `top` that four steps divide well.
function niceTop(top) {
  if (!(top > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(top));
  for (const factor of [1, 2, 4, 6, 8, 10]) {
    if (top <= factor * power * 1.0001) return factor * power;
  }
  return 10 * power;
}

function short(value) {
  if (value >= 1e6) return `${+(value / 1e6).toFixed(1)}M`;
  if (value >= 1e4) return `${+(value / 1e3).toFixed(1)}k`;
  return `${+value.toPrecision(3)}`;
}

// One figure of its own; `draw(series)` shows what there is now. A series: {label, points} with
// points [milliseconds, value or null], the oldest first. `limit`: {at, label}, where alerts begin;
// `suffix`: the unit behind a value, if it is not the same as in the title.
class Chart {
  constructor(parent, { title, unit, suffix, minutes, limit }) {
    Object.assign(this, { suffix: suffix ?? ` ${unit}`, minutes, limit, title, series: [], now: 0 });
    this.figure = element("figure", { class: "card" });
    const caption = element("figcaption", {}, [`${title} `, element("span", { text: `in ${unit}` })]);
    this.plot = svg("svg", { role: "img" });
    this.legend = element("ul", { class: "legend" });
    this.figure.append(caption, this.plot, this.legend);
    parent.append(this.figure);
    new ResizeObserver(() => this.paint()).observe(this.plot);
  }

  draw(series, now) {
    Object.assign(this, { series, now });
    this.paint();
    this.explain();
  }

  paint() {
    const width = Math.max(240, this.plot.clientWidth);
    const height = this.plot.clientHeight || 190;
    const [left, right, top, bottom] = [46, 12, 12, 24];
    const begin = this.now - this.minutes * 60000;
    const values = this.series.flatMap((s) => s.points.filter(([t, v]) => t >= begin && v !== null).map(([, v]) => v));
    const highest = niceTop(Math.max(0, ...values));
    const x = (t) => left + ((t - begin) / (this.now - begin || 1)) * (width - left - right);
    const y = (v) => height - bottom - (Math.min(v, highest) / highest) * (height - top - bottom);
    this.plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const parts = [];
    for (let i = 0; i <= 4; i++) {
      const value = (highest * i) / 4;
      parts.push(svg("line", { class: i ? "grid" : "axis", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
      parts.push(svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, short(value)));
    }
    for (let ago = this.minutes; ago >= 0; ago -= 5) {
      const at = x(this.now - ago * 60000);
      parts.push(svg("line", { class: "axis", x1: at, x2: at, y1: height - bottom, y2: height - bottom + 4 }));
      const anchor = ago === 0 ? "end" : ago === this.minutes ? "start" : "middle";
      parts.push(svg("text", { x: at, y: height - 6, "text-anchor": anchor }, ago ? `−${ago} min` : "now"));
    }
    if (this.limit && this.limit.at <= highest) {
      const at = y(this.limit.at);
      parts.push(svg("line", { class: "limit", x1: left, x2: width - right, y1: at, y2: at }));
      parts.push(svg("text", { class: "limit-text", x: left + 4, y: at - 4 }, this.limit.label));
    }
    this.series.forEach(({ points }, i) => {
      for (const run of runs(points.filter(([t]) => t >= begin))) {
        const at = run.map(([t, v]) => [x(t).toFixed(1), y(v).toFixed(1)]);
        if (at.length === 1) parts.push(svg("circle", { class: `s${i + 1}`, cx: at[0][0], cy: at[0][1], r: 2.5 }));
        else parts.push(svg("polyline", { class: `series s${i + 1}`, points: at.map((p) => p.join(",")).join(" ") }));
      }
    });
    if (!values.length) {
      parts.push(svg("text", { x: (left + width - right) / 2, y: height / 2, "text-anchor": "middle" }, "nothing yet"));
    }
    this.plot.replaceChildren(...parts);
  }

  // The legend, with the last value of each; the same in words for who cannot see the plot.
  explain() {
    const last = this.series.map(({ label, points }) => {
      const point = points.findLast(([, value]) => value !== null);
      return [label, point ? `${short(point[1])}${this.suffix}` : "–"];
    });
    this.plot.setAttribute("aria-label", `${this.title}: ${last.map(([l, v]) => `${l} ${v}`).join(", ")}`);
    this.legend.replaceChildren(
      ...last.map(([label, value], i) => {
        const line = svg("svg", { "aria-hidden": "true", viewBox: "0 0 26 8" });
        line.append(svg("line", { class: `s${i + 1}`, x1: 0, x2: 26, y1: 4, y2: 4 }));
        return element("li", {}, [line, label, element("b", { text: value })]);
      }),
    );
  }
}

// Points in a row that have a value.
function runs(points) {
  const found = [];
  let run = [];
  for (const point of points) {
    if (point[1] !== null) {
      run.push(point);
    } else if (run.length) {
      found.push(run);
      run = [];
    }
  }
  if (run.length) found.push(run);
  return found;
}
