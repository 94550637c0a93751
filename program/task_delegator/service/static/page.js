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

async function attempt(work) {
  at("problem").textContent = "";
  try {
    await work();
  } catch (error) {
    at("problem").textContent = error.message;
  }
}

const percent = (share) => `${Math.round(100 * share)} %`;

function channels(found, name) {
  const scores = found.evidence && found.evidence.retrieval.z_scores[name];
  if (!scores) return "";
  const best = Object.entries(scores).sort((a, b) => b[1] - a[1]).slice(0, 3);
  const said = found.evidence.lm && found.evidence.lm.probabilities[name];
  const lm = said === undefined || said === null ? "" : `; the LM says ${percent(said)}`;
  return best.map(([channel, z]) => `${channel} ${z.toFixed(1)}`).join(", ") + lm;
}

function verdict(found, correct, label, settled) {
  const button = element("button", label);
  button.onclick = () => attempt(async () => {
    await ask("/feedback", { request_id: found.request_id, correct_agent: correct });
    settled();
    await showReviews();
  });
  return button;
}

function card(task, found, settled) {
  const shown = element("article", undefined, found.decision);
  if (task) shown.append(element("p", task, "task"));
  shown.append(element("p", `${found.decision}: ${found.agent || "no agent"}`, "decision"));
  shown.append(element("p", `Confidence ${percent(found.confidence)}. ${found.reason}`));
  const table = element("table");
  for (const one of found.top3) {
    const row = table.insertRow();
    const named = row.insertCell();
    named.append(verdict(found, one.name, one.name, () => settled(shown)));
    row.insertCell().append(element("span", channels(found, one.name), "hint"));
    const share = row.insertCell();
    share.className = "share";
    const meter = element("meter");
    meter.value = one.probability;
    share.append(meter, ` ${percent(one.probability)}`);
  }
  shown.append(table);
  const nobody = element("p", "Who was right? ", "hint");
  nobody.append(verdict(found, null, "nobody", () => settled(shown)));
  shown.append(nobody);
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

async function showReviews() {
  const waiting = await ask("/reviews");
  at("count").textContent = `(${waiting.length})`;
  at("reviews").replaceChildren(
    ...waiting.map((one) => {
      const row = element("li");
      row.append(card(one.task, one.delegation, () => {}));
      return row;
    }),
  );
}

document.onkeydown = (event) => {
  if (/^(input|textarea)$/i.test(event.target.tagName) || event.ctrlKey || event.metaKey) return;
  const first = at("reviews").firstElementChild;
  if (!first || !/^[0-3]$/.test(event.key)) return;
  const buttons = first.querySelectorAll("button");
  const chosen = event.key === "0" ? buttons[buttons.length - 1] : buttons[Number(event.key) - 1];
  if (chosen && (event.key === "0" || chosen !== buttons[buttons.length - 1])) chosen.click();
};

at("access").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value);
  attempt(showReviews);
};

attempt(showReviews);
