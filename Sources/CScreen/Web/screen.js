"use strict";
// The citizen's screen: draws what the agent says, tells the agent what the citizen does, and decides nothing itself.
// It keeps no state that matters: reloaded at any moment it is told anew what to show.

const words = {
  zh: {
    large: "大字", voice: "语音", language: "English", place: "服务窗口",
    idle: "欢迎", idleLead: "请到窗口办理业务。", called: "请到", window: "号窗口",
    rate: "请您评价本次服务", level: { 5: "非常满意", 4: "满意", 3: "基本满意", 2: "不满意", 1: "非常不满意" },
    decline: "不评价", why: "您可以选择原因（可多选）", whyNeeded: "请选择原因或留言", comment: "您想说的话（选填）", commentNeeded: "您想说的话",
    change: "修改评价", submit: "提交", confirmTitle: "请核对以下信息", right: "确认无误", wrong: "信息有误",
    documentTitle: "请阅读并确认", page: "第 {0} 页，共 {1} 页", before: "上一页", next: "下一页", bigger: "放大", smaller: "缩小", read: "已阅读，确认",
    refuse: "不同意", signTitle: "请在框内签名", clear: "重写", sign: "完成签名", signPad: "签名区域",
    qrTitle: "请扫描二维码", urlTitle: "评价页面已打开", urlLead: "请在打开的页面上评价。", open: "打开页面", thanks: "谢谢您的评价", thanksLead: "您的意见已经收到。",
    thanksShort: "谢谢", done: "已完成。", out: "本屏幕暂停服务", outLead: "请直接向窗口工作人员咨询。", joining: "正在连接…", joiningLead: "请稍候，屏幕会自动恢复。",
    pairTitle: "屏幕配对码", pairLead: "管理员请在本机运行：\nhallctl screen pair {0}", left: "剩余 {0} 秒", more: "再等等", still: "您还需要时间吗？",
    clerk: "工作人员", staff: "工号", notTaken: "这一步已经结束。", refused: "屏幕未获授权", expired: "配对码已过期，请稍候。",
  },
  en: {
    large: "Large type", voice: "Voice", language: "中文", place: "Service window",
    idle: "Welcome", idleLead: "Please come to the window to be served.", called: "Please come to", window: "Window",
    rate: "How was this service?", level: { 5: "Very satisfied", 4: "Satisfied", 3: "Fairly satisfied", 2: "Dissatisfied", 1: "Very dissatisfied" },
    decline: "No rating", why: "You may choose reasons (several if you like)", whyNeeded: "Please choose a reason or leave a comment", comment: "Your comment (optional)", commentNeeded: "Your comment",
    change: "Change rating", submit: "Submit", confirmTitle: "Please check these details", right: "All correct", wrong: "Something is wrong",
    documentTitle: "Please read and confirm", page: "Page {0} of {1}", before: "Previous", next: "Next", bigger: "Larger", smaller: "Smaller", read: "I have read and agree",
    refuse: "I do not agree", signTitle: "Please sign in the box", clear: "Start over", sign: "Done", signPad: "Signature area",
    qrTitle: "Please scan the code", urlTitle: "The rating page is open", urlLead: "Please rate on the page that has opened.", open: "Open the page", thanks: "Thank you for your rating", thanksLead: "We have received it.",
    thanksShort: "Thank you", done: "Done.", out: "This screen is out of service", outLead: "Please ask at the window.", joining: "Connecting…", joiningLead: "Please wait; the screen comes back by itself.",
    pairTitle: "Pairing code", pairLead: "Administrator, run on this machine:\nhallctl screen pair {0}", left: "{0} s left", more: "More time", still: "Do you need more time?",
    clerk: "Clerk", staff: "No.", notTaken: "This step is over.", refused: "This screen is not authorised", expired: "The code has expired; please wait.",
  },
};

const $ = (id) => document.getElementById(id);
const kept = {
  get token() { return localStorage.getItem("token"); },
  set token(value) { if (value === null) localStorage.removeItem("token"); else localStorage.setItem("token", value); },
};
// What the citizen has set for this visit; another visit begins without.
const own = { visit: undefined, language: "zh", large: false, voice: false };
let shown = { kind: "joining" };
// What the citizen has begun in this step: it outlives another language, larger type, and more time.
let begun = { key: null };
// The levels are shown again to change the one that was pressed; until the agent's patience with that ends.
let correcting = false;
let endsAt = null;
let popup = null;

/** What was begun at this view before it was drawn anew; `fresh` for a view that is new. */
function begin(view, fresh) {
  const key = JSON.stringify([view.kind, view.step, view.level ?? null]);
  if (begun.key !== key) begun = { key, ...fresh() };
  return begun;
}

const other = () => (own.language === "zh" ? "en" : "zh");
const fill = (text, ...values) => text.replace(/\{(\d)\}/g, (_, index) => values[index]);
const say = (key, ...values) => fill(words[own.language][key], ...values);
const also = (key, ...values) => fill(words[other()][key], ...values);
/** What the agent gives in both languages, or as plain text. */
const told = (text, language = own.language) =>
  text === undefined || text === null ? "" : typeof text === "string" ? text : text[language] ?? text.zh ?? text.en ?? "";

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function drawing(viewBox, name, ...shapes) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", viewBox);
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", name);
  for (const [shape, attributes] of shapes) {
    const part = document.createElementNS(space, shape);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    svg.append(part);
  }
  return svg;
}

/** A face of level 1 to 5: only the mouth and, at the ends, the eyes differ. */
function face(level) {
  const mouths = { 5: "M28 58 Q50 88 72 58 Z", 4: "M30 60 Q50 78 70 60", 3: "M32 64 Q50 70 68 64", 2: "M32 70 Q50 60 68 70", 1: "M30 74 Q50 54 70 74" };
  const eyes = level === 5 ? [["path", { d: "M28 42 Q34 34 40 42" }], ["path", { d: "M60 42 Q66 34 72 42" }]]
    : level === 1 ? [["path", { d: "M28 36 L40 41" }], ["path", { d: "M72 36 L60 41" }], ["circle", { cx: 35, cy: 46, r: 3.4, class: "dot" }], ["circle", { cx: 65, cy: 46, r: 3.4, class: "dot" }]]
    : [["circle", { cx: 35, cy: 41, r: 4, class: "dot" }], ["circle", { cx: 65, cy: 41, r: 4, class: "dot" }]];
  return drawing("0 0 100 100", "face", ["circle", { cx: 50, cy: 50, r: 44 }], ...eyes, ["path", { d: mouths[level] }]);
}

const head = (first, second) =>
  make("div", { class: "head" }, make("h1", {}, first), second ? make("p", { class: "second", lang: other() === "en" ? "en" : "zh-CN" }, second) : null);

const centred = (...children) => make("section", { class: "sheet centre" }, ...children);

// MARK: Views. Each returns its element; `spoken` is what is read out.

const views = {
  joining: () => centred(head(say("joining"), also("joining")), make("p", { class: "lead" }, say("joiningLead"))),
  refused: () => centred(make("h1", { class: "trouble" }, say("refused")), make("p", { class: "second" }, also("refused"))),
  pairing: (view) => centred(
    head(say("pairTitle"), also("pairTitle")),
    make("p", { class: "code", "aria-label": view.code.split("").join(" ") }, view.code),
    make("p", { class: "lead" }, say("pairLead", view.code))),

  idle: (view) => {
    const content = view.content ?? {};
    return centred(
      head(told(content.title) || say("idle"), content.title ? told(content.title, other()) : also("idle")),
      make("p", { class: "lead" }, told(content.text) || say("idleLead")),
      view.clerk ? make("p", { class: "person" },
        make("b", {}, view.clerk.name ?? ""),
        view.clerk.number ? make("span", { class: "second" }, `${say("clerk")} ${say("staff")} ${view.clerk.number}`) : null) : null);
  },
  called: (view) => {
    const place = view.window ? (own.language === "zh" ? `${say("called")} ${view.window} ${say("window")}` : `${say("called")} ${say("window")} ${view.window}`) : say("called");
    const second = view.window ? (own.language === "zh" ? `${also("called")} ${also("window")} ${view.window}` : `${also("called")} ${view.window} ${also("window")}`) : also("called");
    return centred(make("p", { class: "number" }, view.number), head(place, second));
  },

  rating: (view) => (view.level === null || view.level === undefined || correcting ? levels(view) : reasons(view)),

  confirm: (view) => make("section", { class: "sheet" },
    head(told(view.title) || say("confirmTitle"), told(view.title, other()) || also("confirmTitle")),
    make("dl", { class: "fields", tabindex: "0" }, ...(view.fields ?? []).flatMap((field) => [
      make("dt", {}, told(field.label), told(field.label, other()) !== told(field.label) ? ` ${told(field.label, other())}` : null),
      make("dd", {}, told(field.value))])),
    make("div", { class: "row" },
      make("button", { type: "button", onclick: () => answer({ type: "confirm", accepted: false }) }, say("wrong")),
      make("button", { type: "button", class: "first", onclick: () => answer({ type: "confirm", accepted: true }) }, say("right")))),

  document: (view) => documentView(view),
  signature: (view) => signatureView(view),

  qr: (view) => {
    const rows = view.modules ?? [];
    const edge = rows.length + 8;
    const path = rows.flatMap((row, y) => [...row].map((bit, x) => (bit === "1" ? `M${x + 4} ${y + 4}h1v1h-1z` : ""))).join("");
    const code = drawing(`0 0 ${edge} ${edge}`, "qr", ["rect", { width: edge, height: edge, fill: "#fff" }], ["path", { d: path, fill: "#000" }]);
    code.setAttribute("aria-hidden", "false");
    code.setAttribute("role", "img");
    code.setAttribute("aria-label", told(view.title) || say("qrTitle"));
    return centred(head(told(view.title) || say("qrTitle"), told(view.title, other()) || also("qrTitle")), code,
      view.caption ? make("p", { class: "lead" }, told(view.caption)) : null);
  },
  url: (view) => centred(head(told(view.title) || say("urlTitle"), told(view.title, other()) || also("urlTitle")), make("p", { class: "lead" }, say("urlLead")),
    // Browsers that open no window by themselves do at a touch.
    make("button", { type: "button", class: "first", id: "open", hidden: true, onclick: () => openWindow(view) }, say("open"))),
  thanks: (view) => centred(
    drawing("0 0 100 100", "face seal", ["circle", { cx: 50, cy: 50, r: 44 }], ["path", { d: "M30 52 L45 67 L72 36" }]),
    view.rated ? head(say("thanks"), also("thanks")) : head(say("thanksShort"), also("thanksShort")),
    make("p", { class: "lead" }, view.rated ? say("thanksLead") : say("done"))),
  outOfService: (view) => centred(head(say("out"), also("out")), make("p", { class: "lead" }, told(view.text) || say("outLead"))),
};

function levels(view) {
  return make("section", { class: "sheet" },
    head(say("rate"), view.service ? told(view.service) : also("rate")),
    make("ul", { class: "levels" }, ...[5, 4, 3, 2, 1].map((level) => make("li", {},
      make("button", { type: "button", "data-level": level, onclick: () => answer({ type: "press", level }) },
        face(level), make("strong", {}, words[own.language].level[level]), make("small", { lang: other() === "en" ? "en" : "zh-CN" }, words[other()].level[level]))))),
    make("div", { class: "row" }, make("button", { type: "button", id: "decline", onclick: () => answer({ type: "decline" }) }, `${say("decline")}  ${also("decline")}`)));
}

function reasons(view) {
  const mine = begin(view, () => ({ chosen: new Set(view.chosen ?? []), comment: "" }));
  const { chosen } = mine;
  const needed = view.reasonRequired === true;
  const comment = make("textarea", { id: "comment", maxlength: "300", "aria-label": say(needed ? "commentNeeded" : "comment"), placeholder: say(needed ? "commentNeeded" : "comment") });
  const submit = make("button", { type: "button", class: "first", id: "submit", onclick: () => answer({ type: "reasons", codes: [...chosen], comment: comment.value.trim() }) }, say("submit"));
  const check = () => { submit.disabled = needed && chosen.size === 0 && comment.value.trim() === ""; };
  comment.value = mine.comment;
  comment.addEventListener("input", () => { mine.comment = comment.value; check(); touched(); });
  const change = make("button", { type: "button", id: "change", hidden: !view.correctable, onclick: () => { correcting = true; draw(); } }, say("change"));
  check();
  return make("section", { class: "sheet" },
    make("div", { class: "chosen" }, face(view.level),
      make("div", { class: "head grow" }, make("h1", {}, words[own.language].level[view.level]), make("p", { class: "second" }, say(needed ? "whyNeeded" : "why"))), change),
    make("ul", { class: "reasons" }, ...(view.reasons ?? []).map((reason) => make("li", {},
      make("button", { type: "button", "data-code": reason.code, "aria-pressed": chosen.has(reason.code) ? "true" : "false",
        onclick: (event) => {
          const button = event.currentTarget;
          if (chosen.has(reason.code)) chosen.delete(reason.code); else chosen.add(reason.code);
          button.setAttribute("aria-pressed", chosen.has(reason.code) ? "true" : "false");
          check();
          touched();
        } }, told(reason))))),
    make("div", { class: "say" }, view.comment === false ? make("span", { class: "grow" }) : comment, submit));
}

function documentView(view) {
  const pages = view.pages ?? [];
  const mine = begin(view, () => ({ index: 0, scale: 1, seen: new Set() }));
  let { index, scale } = mine;
  const image = make("img", { alt: "" });
  const pan = make("div", { class: "pan", tabindex: "0", role: "group", "aria-label": told(view.title) || say("documentTitle") }, image);
  const count = make("output", {});
  const before = make("button", { type: "button", onclick: () => turn(index - 1) }, say("before"));
  const next = make("button", { type: "button", id: "next", onclick: () => turn(index + 1) }, say("next"));
  const { seen } = mine;
  const accept = make("button", { type: "button", class: "first", id: "accept", onclick: () => answer({ type: "confirm", accepted: true }) }, say("read"));
  const fit = () => {
    const page = pages[index];
    if (!page) return;
    const width = Math.min(pan.clientWidth - 8, ((pan.clientHeight - 8) * page.width) / page.height) || pan.clientWidth;
    image.style.width = `${Math.round(Math.max(width, pan.clientWidth * 0.3) * scale)}px`;
  };
  const zoom = (factor) => { scale = mine.scale = Math.min(6, Math.max(1, scale * factor)); fit(); };
  async function turn(to) {
    if (to < 0 || to >= pages.length) return;
    index = mine.index = to;
    touched();
    const page = pages[to];
    const picture = await content(page.content);
    if (index !== to || picture === null) return;
    if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
    image.src = picture;
    image.alt = say("page", index + 1, pages.length);
    seen.add(to);
    before.disabled = to === 0;
    next.disabled = to === pages.length - 1;
    count.textContent = say("page", index + 1, pages.length);
    // The last page has been on the screen before anything can be agreed to.
    accept.disabled = seen.size < pages.length;
    pan.scrollTo(0, 0);
    fit();
  }
  let pinch = null;
  const pointers = new Map();
  const distance = () => { const [a, b] = [...pointers.values()]; return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY); };
  pan.addEventListener("pointerdown", (event) => { pointers.set(event.pointerId, event); if (pointers.size === 2) pinch = distance(); });
  pan.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const last = pointers.get(event.pointerId);
    pointers.set(event.pointerId, event);
    if (pointers.size === 2 && pinch) { const now = distance(); zoom(now / pinch); pinch = now; }
    else if (event.pointerType === "mouse") pan.scrollBy(last.clientX - event.clientX, last.clientY - event.clientY);
  });
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) pan.addEventListener(name, (event) => { pointers.delete(event.pointerId); pinch = null; });
  new ResizeObserver(fit).observe(pan);
  accept.disabled = true;
  turn(index);
  return make("section", { class: "sheet" },
    head(told(view.title) || say("documentTitle"), told(view.title, other()) || also("documentTitle")),
    make("div", { class: "paged" }, pan,
      make("div", { class: "tools" }, before, count, next,
        make("button", { type: "button", class: "sign", "aria-label": say("smaller"), onclick: () => zoom(1 / 1.4) }, "−"),
        make("button", { type: "button", class: "sign", "aria-label": say("bigger"), onclick: () => zoom(1.4) }, "+"),
        make("span", { class: "grow" }),
        ...(view.confirm === false ? [] : [
          make("button", { type: "button", id: "refuse", onclick: () => answer({ type: "confirm", accepted: false }) }, say("refuse")), accept]))));
}

function signatureView(view) {
  const canvas = make("canvas", { id: "pad", tabindex: "0", role: "img", "aria-label": say("signPad") });
  const mine = begin(view, () => ({ strokes: [], origin: performance.now() }));
  const { strokes, origin } = mine;
  let stroke = null;
  const done = make("button", { type: "button", class: "first", id: "sign", onclick: () => send() }, say("sign"));
  const clear = make("button", { type: "button", id: "clear", onclick: () => { strokes.length = 0; stroke = null; paint(); } }, say("clear"));
  done.disabled = clear.disabled = strokes.length === 0;
  const pen = () => canvas.getContext("2d");
  // Points are kept in the pad's own units, so that a turned or resized screen draws the same signature.
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    return [Math.round(((event.clientX - box.left) / box.width) * 10000), Math.round(((event.clientY - box.top) / box.height) * 10000),
      Math.round(performance.now() - origin), Math.round((event.pressure || 0.5) * 1000)];
  };
  function line(from, to) {
    const context = pen();
    context.lineWidth = Math.max(2, canvas.height / 90) * (0.6 + (from[3] + to[3]) / 2500);
    context.beginPath();
    context.moveTo((from[0] * canvas.width) / 10000, (from[1] * canvas.height) / 10000);
    context.lineTo((to[0] * canvas.width) / 10000 + 0.01, (to[1] * canvas.height) / 10000);
    context.stroke();
  }
  function paint() {
    const box = canvas.getBoundingClientRect();
    if (box.width === 0) return;
    canvas.width = Math.round(box.width * Math.min(2, devicePixelRatio || 1));
    canvas.height = Math.round(box.height * Math.min(2, devicePixelRatio || 1));
    const context = pen();
    context.lineCap = "round";
    context.lineJoin = "round";
    context.strokeStyle = "#101820";
    for (const points of strokes) points.forEach((to, index) => line(points[Math.max(0, index - 1)], to));
    done.disabled = strokes.reduce((sum, points) => sum + points.length, 0) < 5;
    clear.disabled = strokes.length === 0;
  }
  // A stroke that ends in a swing is a fling to Chromium, which then swallows the next touch: the one on "Done".
  canvas.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    stroke = [point(event)];
    strokes.push(stroke);
    line(stroke[0], stroke[0]);
    touched();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    for (const each of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
      const to = point(each);
      line(stroke[stroke.length - 1], to);
      if (stroke.length < 4000) stroke.push(to);
    }
    done.disabled = false;
    clear.disabled = false;
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { stroke = null; });
  async function send() {
    done.disabled = true;
    const picture = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    const bytes = new Uint8Array(await picture.arrayBuffer());
    let text = "";
    for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    if (!(await answer({ type: "signature", png: btoa(text), strokes }))) done.disabled = false;
  }
  new ResizeObserver(paint).observe(canvas);
  return make("section", { class: "sheet" },
    head(told(view.title) || say("signTitle"), told(view.title, other()) || also("signTitle")),
    make("div", { class: "pad" }, make("div", { class: "line" }), canvas),
    make("div", { class: "row" },
      make("button", { type: "button", onclick: () => answer({ type: "decline" }) }, say("refuse")), make("span", { class: "grow" }), clear, done));
}

// MARK: Drawing

function draw(isNew = true) {
  const root = document.documentElement;
  root.lang = own.language === "zh" ? "zh-CN" : "en";
  root.classList.toggle("large", own.large);
  root.classList.toggle("english", own.language === "en");
  document.body.dataset.view = shown.kind;
  for (const key of ["large", "voice"]) {
    $(key).textContent = say(key);
    $(key).setAttribute("aria-pressed", String(own[key]));
  }
  $("voice").hidden = !("speechSynthesis" in window);
  $("language").textContent = say("language");
  $("language").lang = other() === "en" ? "en" : "zh-CN";
  $("more").textContent = `${say("more")}  ${also("more")}`;
  const place = $("place");
  place.replaceChildren(told(shown.place) || say("place"));
  if (shown.window) place.append(make("small", {}, own.language === "zh" ? `${shown.window} ${say("window")}` : `${say("window")} ${shown.window}`));
  const element = (views[shown.kind] ?? views.outOfService)(shown);
  $("view").replaceChildren(element);
  if (isNew) $("view").focus({ preventScroll: true });
  const title = element.querySelector("h1")?.textContent ?? "";
  document.title = title;
  $("said").textContent = [element.querySelector(".number")?.textContent, title].filter(Boolean).join(" ");
  if (own.voice) speak($("said").textContent);
  tick();
}

function speak(text) {
  if (!("speechSynthesis" in window)) return;
  speechSynthesis.cancel();
  const spoken = new SpeechSynthesisUtterance(text);
  spoken.lang = own.language === "zh" ? "zh-CN" : "en-GB";
  spoken.rate = 0.85;
  speechSynthesis.speak(spoken);
}

let timer = null;
/** The time that is left is shown for the last half; the button that asks for more, always. */
function tick() {
  clearTimeout(timer);
  const left = endsAt === null ? null : Math.max(0, Math.ceil((endsAt - performance.now()) / 1000));
  $("more").hidden = left === null || shown.extendable === false;
  $("time").textContent = left !== null && left <= 30 ? (left <= 15 ? `${say("still")} ${say("left", left)}` : say("left", left)) : "";
  if (left !== null && left > 0) timer = setTimeout(tick, 1000);
}

let lastTouch = 0;
/** Somebody writes or reads: the agent gives the time again, at most every few seconds. */
function touched() {
  const now = performance.now();
  if (endsAt === null || now - lastTouch < 5000) return;
  lastTouch = now;
  answer({ type: "touched" });
}

function show(view) {
  if (view.visit !== own.visit) {
    Object.assign(own, { visit: view.visit, language: view.language ?? "zh", large: view.large === true, voice: view.voice === true });
  }
  const sameStep = shown.kind === view.kind && shown.step !== undefined && shown.step === view.step;
  endsAt = typeof view.secondsLeft === "number" ? performance.now() + view.secondsLeft * 1000 : null;
  const before = shown;
  shown = view;
  const isSame = sameStep && before.level === view.level;
  if (!isSame) correcting = false;
  endCorrection(view);
  // More time was given and nothing else changed: what the citizen has begun stays as it is.
  if (isSame) tick(); else draw();
  openWindow(view);
}

let correction = null;
/** When a level can be changed no more, its reasons are what is asked. */
function endCorrection(view) {
  clearTimeout(correction);
  if (view.kind !== "rating" || !view.level) return;
  correction = setTimeout(() => {
    const wasCorrecting = correcting;
    correcting = false;
    shown.correctable = false;
    // Drawing anew would take the caret out of a comment.
    if (wasCorrecting) draw(); else if ($("change")) $("change").hidden = true;
  }, view.correctable ? view.correctableSeconds * 1000 : 0);
}

/** A province's own page has a window of its own: nothing of it runs in this one, and nothing of this one is open to it. */
function openWindow(view) {
  if (view.kind !== "url") {
    if (popup) { popup.close(); popup = null; }
    return;
  }
  if (popup?.step === view.step) return;
  if (popup) popup.close();
  popup = null;
  // Only who opened a window may close it: the window keeps its opener, of which another origin can read nothing.
  const opened = window.open(view.url, "_blank", "popup");
  const button = $("open");
  if (button) button.hidden = opened !== null;
  if (!opened) { answer({ type: "blocked" }); return; }
  popup = { step: view.step, close: () => opened.close() };
  answer({ type: "opened" });
  const watch = setInterval(() => {
    if (popup?.step !== view.step) { clearInterval(watch); return; }
    if (opened.closed) { clearInterval(watch); popup = null; answer({ type: "closed" }); }
  }, 500);
}

// MARK: The agent

const headers = (more = {}) => ({ ...more, Authorization: `Bearer ${kept.token}` });

/** Tells what the citizen did; true when the agent took it. */
async function answer(input) {
  try {
    const reply = await fetch("/inputs", { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify({ revision: shown.revision, input }) });
    if (reply.status === 409) $("said").textContent = say("notTaken");
    if (reply.status === 401) forget();
    return reply.ok;
  } catch {
    return false;
  }
}

async function content(id) {
  try {
    const reply = await fetch(`/content/${encodeURIComponent(id)}`, { headers: headers() });
    return reply.ok ? URL.createObjectURL(await reply.blob()) : null;
  } catch {
    return null;
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function forget() {
  kept.token = null;
  location.reload();
}

async function listen() {
  let wait = 250;
  for (;;) {
    try {
      const reply = await fetch("/events", { headers: headers() });
      if (reply.status === 401) { kept.token = null; return; }
      if (reply.ok) {
        wait = 250;
        const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
        let text = "";
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          text += value;
          let end;
          while ((end = text.indexOf("\n\n")) >= 0) {
            const data = text.slice(0, end).split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("");
            text = text.slice(end + 2);
            if (data) show(JSON.parse(data));
          }
        }
      }
    } catch { /* The agent is away: it is asked again below. */ }
    show({ kind: "joining", visit: own.visit });
    await pause(wait);
    wait = Math.min(wait * 2, 3000);
  }
}

async function pair() {
  for (;;) {
    try {
      const begun = await fetch("/pairings", { method: "POST" });
      if (begun.ok) {
        const { pairing, code } = await begun.json();
        show({ kind: "pairing", code, visit: own.visit });
        for (;;) {
          const reply = await fetch(`/pairings/${pairing}`);
          if (reply.status === 410) break;
          if (!reply.ok) throw new Error(String(reply.status));
          const { token } = await reply.json();
          if (token) { kept.token = token; return; }
        }
        continue;
      }
    } catch { /* As above. */ }
    show({ kind: "joining", visit: own.visit });
    await pause(1500);
  }
}

async function run() {
  // The packaged kiosk unit gives the token in the launch address; it does not stay there.
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    kept.token = given;
    history.replaceState(null, "", "/");
  }
  for (;;) {
    if (!kept.token) await pair();
    await listen();
  }
}

function start() {
  $("large").addEventListener("click", () => { own.large = !own.large; draw(false); });
  $("voice").addEventListener("click", () => { own.voice = !own.voice; draw(false); });
  $("language").addEventListener("click", () => { own.language = other(); draw(false); });
  $("more").addEventListener("click", () => answer({ type: "moreTime" }));
  document.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLTextAreaElement || event.repeat) return;
    if (shown.kind === "rating" && /^[1-5]$/.test(event.key) && (shown.level === null || shown.level === undefined)) answer({ type: "press", level: Number(event.key) });
  });
  document.addEventListener("contextmenu", (event) => event.preventDefault());
  draw();
  run();
}

start();
