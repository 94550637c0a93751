"use strict";
// Everything that comes from the service is written as text, never as markup.

const at = (id) => document.getElementById(id);

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function ask(path, body) {
  const headers = {};
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const method = body ? "POST" : "GET";
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  at("access").hidden = answer.status !== 401 && !token;
  const content = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(content.detail);
  return content;
}

async function attempt(work, problem = at("problem")) {
  problem.textContent = "";
  try {
    await work();
  } catch (error) {
    problem.textContent = error.message;
  }
}

const percent = (share) => `${Math.round(100 * share)} %`;

// What each channel of retrieval compares, in a reviewer's words.
const SEEN = {
  bm25: "shared words",
  chars: "shared spellings",
  description: "its description",
  sample_best: "its nearest sample",
  sample_mean: "its samples together",
  head: "learned from samples",
  maxsim: "words of like meaning",
  maxsim_reverse: "its words of like meaning",
};

let described = new Map(); // what each agent does, by name: those that this caller may use

async function learnAgents() {
  const agents = await ask("/agents");
  described = new Map(agents.map((agent) => [agent.name, agent.description]));
  at("agents").replaceChildren(
    ...agents.map((agent) => {
      const made = element("option");
      made.value = agent.name;
      return made;
    }),
  );
}

// What speaks for an agent: how far it is ahead of the others, in standard deviations.
function reasons(found, name) {
  const scores = found.evidence && found.evidence.retrieval.z_scores[name];
  if (!scores) return "";
  const best = Object.entries(scores).sort((a, b) => b[1] - a[1]).slice(0, 3);
  const ahead = best.filter(([, z]) => z > 0);
  const said = found.evidence.lm && found.evidence.lm.probabilities[name];
  const lm = said === undefined || said === null ? [] : [`the LM says ${percent(said)}`];
  const told = ahead.map(([channel, z]) => `${SEEN[channel] || channel} +${z.toFixed(1)}`);
  return [...told, ...lm].join(", ");
}

const settling = new Set(); // request ids of which somebody just said who was right

// Record who was right. Until that is kept, nothing more is said of the same: a key that comes
// meanwhile is for the next that waits.
function settles(found, correct, shown, settled) {
  return () => {
    if (settling.has(found.request_id)) return;
    settling.add(found.request_id);
    shown.inert = true;
    attempt(async () => {
      try {
        await ask("/feedback", { request_id: found.request_id, correct_agent: correct() });
        settled(shown);
        await showReviews();
      } finally {
        settling.delete(found.request_id);
        shown.inert = false;
      }
    }, shown.querySelector(".problem"));
  };
}

function verdict(label, key, says, correct) {
  const button = element("button", label);
  button.dataset.key = key;
  button.onclick = says(() => correct);
  return button;
}

// Another agent than the three: typed, with the names of all as suggestions.
function another(says) {
  const form = element("form", undefined, "another");
  const name = element("input");
  name.setAttribute("list", "agents");
  name.setAttribute("aria-label", "Another agent");
  name.placeholder = "another agent";
  name.required = true;
  const send = says(() => name.value);
  form.onsubmit = (event) => {
    event.preventDefault();
    send();
  };
  form.append(name, " ", element("button", "Record"));
  return form;
}

function agentRow(row, found, one, key, says) {
  row.insertCell().append(verdict(one.name, key, says, one.name));
  const why = row.insertCell();
  why.append(element("div", described.get(one.name) || "", "does"));
  const told = element("div", reasons(found, one.name), "hint");
  told.title = "standard deviations above the best hundred agents' mean";
  why.append(told);
  const share = row.insertCell();
  share.className = "share";
  const meter = element("meter");
  meter.value = one.probability;
  share.append(meter, ` ${percent(one.probability)}`);
}

function card(task, found, settled) {
  const shown = element("article", undefined, found.decision);
  const says = (correct) => settles(found, correct, shown, settled);
  shown.inert = settling.has(found.request_id);
  if (task) shown.append(element("p", task, "task"));
  shown.append(element("p", `${found.decision}: ${found.agent || "no agent"}`, "decision"));
  const sure = found.calibrated_by ? "Confidence" : "Uncalibrated score";
  shown.append(element("p", `${sure} ${percent(found.confidence)}. ${found.reason}`));
  const table = element("table");
  found.top3.forEach((one, place) => agentRow(table.insertRow(), found, one, place + 1, says));
  shown.append(table);
  const others = element("div", "Who was right? ", "others");
  others.append(verdict("nobody", 0, says, null), another(says));
  shown.append(others, element("p", "", "problem"));
  shown.lastElementChild.setAttribute("role", "alert");
  return shown;
}

const thanks = (shown) => shown.replaceWith(element("p", "Recorded. Thank you."));

at("ask").onsubmit = (event) => {
  event.preventDefault();
  const what = (event.submitter && event.submitter.value) || "delegate";
  attempt(async () => {
    const found = await ask(`/${what}`, { task: at("task").value, evidence: true });
    at("answer").replaceChildren();
    if (what === "delegate") {
      at("answer").append(card("", found, thanks));
    } else {
      for (const step of found.steps) {
        const waits = step.after.length ? ` (after ${step.after.join(", ")})` : "";
        at("answer").append(card(`${step.number}. ${step.task}${waits}`, step.delegation, thanks));
      }
    }
    await showReviews();
  });
};

const SHOWN = 100; // that the service shows at a time

async function showReviews() {
  const waiting = await ask("/reviews");
  const all = waiting.length < SHOWN; // else the oldest
  at("count").textContent = all ? `(${waiting.length})` : `(the oldest ${SHOWN})`;
  at("reviews").replaceChildren(
    ...waiting.map((one) => {
      const row = element("li");
      if (one.asked_by !== "local") row.append(element("p", `asked by ${one.asked_by}`, "hint"));
      row.append(card(one.task, one.delegation, () => {}));
      return row;
    }),
  );
}

// A key alone records who was right: not held down, and not with others, which browsers use.
document.onkeydown = (event) => {
  if (/^(input|textarea)$/i.test(event.target.tagName)) return;
  if (event.altKey || event.ctrlKey || event.metaKey || event.repeat) return;
  const first = at("reviews").querySelector("article:not([inert])");
  if (!first || !/^[0-3]$/.test(event.key)) return;
  const chosen = first.querySelector(`button[data-key="${event.key}"]`);
  if (chosen) chosen.click();
};

async function begin() {
  await learnAgents();
  await showReviews();
}

at("access").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value);
  attempt(begin);
};

attempt(begin);
