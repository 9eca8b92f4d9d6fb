"use strict";
// Draws the time series of each day of the page. All data stands in the page; nothing is fetched.
(() => {
  const INK = "#1f2328", DIM = "#afb8c1", GRID = "#eaeef2";
  const MARKS = { // kind → colour, shape
    ENTRY: ["#1a7f37", "up"], SIGNAL_EXIT: ["#0969da", "down"], STOP_LOSS: ["#cf222e", "cross"],
    END_OF_DAY: ["#8250df", "square"],
  };
  const OTHER = ["#6e7781", "square"];
  const clock = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Kolkata", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const short = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Kolkata", hour: "2-digit", minute: "2-digit" });
  const money = v => v == null ? "–" : "₹" + v.toLocaleString("en-IN", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const undelta = list => { let sum = 0; return list.map(d => sum += d); };

  function marksPlugin(marks) {
    return { hooks: { draw: u => {
      const c = u.ctx, { left, top, width, height } = u.bbox, s = 4.5 * devicePixelRatio;
      c.save(); c.beginPath(); c.rect(left, top, width, height); c.clip();
      for (const [at, price, kind] of marks) {
        if (at < u.scales.x.min || at > u.scales.x.max) continue;
        const x = u.valToPos(at, "x", true), y = u.valToPos(price, "y", true), [colour, shape] = MARKS[kind] || OTHER;
        c.fillStyle = colour; c.strokeStyle = shape === "cross" ? colour : "#fff"; c.lineWidth = shape === "cross" ? 2.5 * devicePixelRatio : devicePixelRatio;
        c.beginPath();
        if (shape === "up") { c.moveTo(x, y - s * 1.2); c.lineTo(x + s, y + s * .8); c.lineTo(x - s, y + s * .8); c.closePath(); c.fill(); }
        else if (shape === "down") { c.moveTo(x, y + s * 1.2); c.lineTo(x + s, y - s * .8); c.lineTo(x - s, y - s * .8); c.closePath(); c.fill(); }
        else if (shape === "square") { c.rect(x - s * .8, y - s * .8, s * 1.6, s * 1.6); c.fill(); }
        else { c.moveTo(x - s, y - s); c.lineTo(x + s, y + s); c.moveTo(x + s, y - s); c.lineTo(x - s, y + s); }
        c.stroke();
      }
      c.restore();
    } } };
  }

  function wheelPlugin() {
    return { hooks: { ready: u => u.over.addEventListener("wheel", e => {
      e.preventDefault();
      const { min, max } = u.scales.x, at = u.posToVal(e.offsetX, "x"), f = e.deltaY < 0 ? .75 : 1 / .75;
      const lo = Math.max(at - (at - min) * f, u._full[0]), hi = Math.min(at + (max - at) * f, u._full[1]);
      if (hi - lo > 5) u.setScale("x", { min: lo, max: hi });
    }, { passive: false }) } };
  }

  function day(root, data) {
    const group = [], full = [data.from, data.until], sync = uPlot.sync(root.id);
    let busy = false;
    const together = u => {
      if (busy || u.scales.x.min == null) return;
      busy = true;
      for (const other of group) if (other !== u) other.setScale("x", { min: u.scales.x.min, max: u.scales.x.max });
      busy = false;
    };
    const make = (where, height, label, series, values, extra) => {
      const box = root.querySelector(where);
      if (!box) return;
      const u = new uPlot({
        width: box.clientWidth, height, series: [{ value: (_, v) => v == null ? "" : clock.format(v * 1000) + " IST" }, ...series],
        scales: { x: { time: true, range: (_, lo, hi) => lo == null ? full : [lo, hi] } },
        axes: [
          { stroke: INK, grid: { stroke: GRID }, values: (_, ticks, __, ___, step) => ticks.map(t => (step < 60 ? clock : short).format(t * 1000)) },
          { stroke: INK, grid: { stroke: GRID }, size: 74, label, labelSize: 18, labelFont: "12px system-ui" },
        ],
        cursor: { sync: { key: sync.key }, drag: { x: true, y: false } },
        plugins: [wheelPlugin(), ...(extra || [])], hooks: { setScale: [(u, key) => key === "x" && together(u)] },
      }, values, box);
      u._full = full; group.push(u);
      addEventListener("resize", () => u.setSize({ width: box.clientWidth, height }));
    };
    const line = (label, colour, more) => ({ label, stroke: colour, width: 1, points: { show: false }, value: (_, v) => money(v), ...more });
    const stepped = uPlot.paths.stepped({ align: 1 });
    if (data.at.length) {
      const at = undelta(data.at).map(ms => full[0] + ms / 1000);
      const price = undelta(data.price).map(p => p / 100), estimate = undelta(data.estimate).map(p => p / 100);
      make(".price", 340, "₹ per unit", [line("last price", DIM), line("estimate", INK)], [at, price, estimate], [marksPlugin(data.marks)]);
    }
    const e = data.equity;
    make(".equity", 220, "realized ₹", [line("gross", DIM, { paths: stepped, width: 1.5 }),
      line("net of charges", e.net[e.net.length - 1] < 0 ? "#cf222e" : "#1a7f37", { paths: stepped, width: 1.5 })], [e.at, e.gross, e.net]);
    make(".drawdown", 130, "₹ below peak", [line("drawdown (net)", "#cf222e", { paths: stepped, fill: "rgba(207,34,46,.12)" })], [e.at, e.drawdown]);
  }

  for (const script of document.querySelectorAll("script[data-day]")) day(document.getElementById(script.dataset.day), JSON.parse(script.textContent));
})();
