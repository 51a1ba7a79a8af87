"use strict";
(() => {
  const root = document.documentElement, tip = document.getElementById("tip");

  // One tooltip for charts and map: lines of plain text, the first one strong.
  const say = (event, first, ...others) => {
    tip.replaceChildren(document.createTextNode(first));
    for (const text of others.filter(Boolean)) {
      const line = document.createElement("span");
      line.textContent = text;
      tip.append(line);
    }
    tip.hidden = false;
    const box = tip.getBoundingClientRect(), gap = 14;
    tip.style.left = Math.max(4, Math.min(event.clientX + gap, innerWidth - box.width - 4)) + "px";
    tip.style.top = Math.max(4, event.clientY + gap + box.height > innerHeight ? event.clientY - gap - box.height : event.clientY + gap) + "px";
  };
  document.addEventListener("mousemove", (event) => {
    const text = event.target.dataset && event.target.dataset.tip;
    if (text) say(event, text);
    else if (event.target.id !== "plane") tip.hidden = true;
  });

  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());

  // A link opens its section. A phone begins with few of them open, and a print has all.
  const sections = [...document.querySelectorAll("main > section > details")];
  if (innerWidth < 700) {
    for (const section of sections.slice(2)) section.open = false;
    for (const part of document.querySelectorAll("details.inner")) part.open = false;
    for (const visitor of document.querySelectorAll("article:nth-child(n + 2) > details")) visitor.open = false;
  }
  // On a phone the names at the ends of lines are not shown, so their room is not either.
  const narrow = matchMedia("(max-width: 480px)");
  const crop = () => {
    for (const chart of document.querySelectorAll(".chart:has(.end)")) chart.setAttribute("viewBox", `0 0 ${narrow.matches ? 420 : 560} 260`);
  };
  narrow.addEventListener("change", crop);
  crop();
  const open = () => {
    const section = location.hash && document.querySelector(location.hash + " > details");
    if (section) { section.open = true; section.parentElement.scrollIntoView(); }
  };
  for (const link of document.querySelectorAll("nav a")) link.addEventListener("click", () => setTimeout(open));
  addEventListener("hashchange", open);
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));

  // The map. A point is [x, y, visitors, category or -1, title, category's name].
  const points = JSON.parse(document.getElementById("points").textContent);
  const canvas = document.getElementById("plane"), pen = canvas.getContext("2d"), margin = 24;
  const names = JSON.parse(document.getElementById("names").textContent);
  const most = points.reduce((most, point) => Math.max(most, point[2]), 1);
  const hidden = new Set();
  let query = "", category = "", nearest = null;
  const radius = (point) => 2.5 + 8.5 * Math.sqrt(point[2] / most);
  const position = (point) => [
    margin + point[0] * (canvas.clientWidth - 2 * margin),
    margin + (1 - point[1]) * (canvas.clientHeight - 2 * margin),
  ];
  const matches = (point) =>
    (!query || point[4].toLowerCase().includes(query)) && (!category || point[5] === category);
  const middle = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];
  // A category has its name in the middle of its dots.
  const labels = names.map((name) => {
    const dots = points.filter((point) => point[5] === name);
    return { name, number: dots[0][3], at: [middle(dots.map((dot) => dot[0])), middle(dots.map((dot) => dot[1]))] };
  });
  const shown = (point) => !hidden.has(point[3]);

  function draw() {
    const scale = devicePixelRatio || 1, style = getComputedStyle(root);
    const colour = (name) => style.getPropertyValue(name).trim();
    canvas.width = canvas.clientWidth * scale;
    canvas.height = canvas.clientHeight * scale;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    for (const point of points.filter(shown)) {
      const [x, y] = position(point);
      pen.globalAlpha = matches(point) ? 0.75 : 0.08;
      pen.fillStyle = colour(point[3] < 0 ? "--cx" : "--c" + point[3]);
      pen.beginPath();
      pen.arc(x, y, radius(point), 0, 2 * Math.PI);
      pen.fill();
    }
    pen.globalAlpha = 1;
    if (!query && !category) {
      pen.font = "600 12px system-ui, sans-serif";
      pen.textAlign = "center";
      pen.lineWidth = 3;
      pen.strokeStyle = colour("--card");
      pen.fillStyle = colour("--ink");
      const taken = [];
      for (const label of labels) {
        if (hidden.has(label.number)) continue;
        const half = pen.measureText(label.name).width / 2 + 3, [wanted, y] = position(label.at);
        const x = Math.max(half, Math.min(wanted, canvas.clientWidth - half));
        // A name that would cover another moves up or down, or is left out.
        const free = (top) => taken.every((box) => Math.abs(box.x - x) >= box.half + half || Math.abs(box.y - top) >= 15);
        const top = [y, y - 15, y + 15, y - 30, y + 30].find(free);
        if (top === undefined) continue;
        taken.push({ x, y: top, half });
        pen.strokeText(label.name, x, top);
        pen.fillText(label.name, x, top);
      }
    }
    if (!nearest) return;
    const [x, y] = position(nearest);
    pen.strokeStyle = colour("--ink");
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(x, y, radius(nearest) + 2, 0, 2 * Math.PI);
    pen.stroke();
  }

  canvas.addEventListener("mousemove", (event) => {
    const box = canvas.getBoundingClientRect();
    let closest = 18, hit = null;
    for (const point of points) {
      if (!shown(point) || !matches(point)) continue;
      const [x, y] = position(point);
      const distance = Math.hypot(x - (event.clientX - box.left), y - (event.clientY - box.top)) - radius(point);
      if (distance < closest) [closest, hit] = [distance, point];
    }
    if (hit !== nearest) { nearest = hit; draw(); }
    if (hit) say(event, hit[4], hit[5], hit[2].toLocaleString("en") + " visitors");
    else tip.hidden = true;
  });
  canvas.addEventListener("mouseleave", () => { nearest = null; tip.hidden = true; draw(); });
  document.getElementById("find").addEventListener("input", (event) => { query = event.target.value.toLowerCase(); draw(); });
  const select = document.getElementById("category");
  if (select) select.addEventListener("change", () => { category = select.value; draw(); });
  for (const button of document.querySelectorAll(".pick button")) {
    button.addEventListener("click", () => {
      const number = Number(button.dataset.category);
      if (!hidden.delete(number)) hidden.add(number);
      button.setAttribute("aria-pressed", String(!hidden.has(number)));
      draw();
    });
  }
  document.querySelector("#map > details").addEventListener("toggle", draw);
  addEventListener("resize", draw);
  draw();
})();
