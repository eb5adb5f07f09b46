// The addresses that MLflow's client prints ("View run at ...") name the page behind a #, which no server ever sees:
// whoever opens one is led on from here, through the sign-in where there is one.
const PAGES = [
  [/^experiments\/([^/]+)\/runs\/([^/]+)/, ([, , run]) => `/runs/${run}`],
  [/^experiments\/([^/]+)\/traces/, ([, id]) => `/experiments/${id}/traces`],
  [/^experiments\/([^/]+)/, ([, id]) => `/experiments/${id}`],
  [/^experiments/, () => "/experiments"],
  [/^runs\/([^/]+)/, ([, run]) => `/runs/${run}`],
  [/^models\/([^/]+)/, ([, name]) => `/models/${name}`],
  [/^models/, () => "/portfolio"],
];

function compared(query) {
  try {
    const runs = JSON.parse(new URLSearchParams(query).get("runs"));
    return Array.isArray(runs) ? `/compare?${new URLSearchParams(runs.map((run) => ["run", `${run}`]))}` : "/compare";
  } catch {
    return "/compare";
  }
}

// Path and query on this server for what stands behind a #; "" when it is none of MLflow's.
export function ours(hash) {
  if (!hash.startsWith("#/")) return "";
  const [path, query = ""] = hash.slice(2).split("?");
  if (path.startsWith("compare-runs")) return compared(query);
  if (/^experiments\/[^/]+\/traces/.test(path)) {
    const trace = new URLSearchParams(query).get("selectedEvaluationId");
    if (trace) return `/traces/${encodeURIComponent(trace)}`;
  }
  for (const [form, page] of PAGES) {
    const found = path.match(form);
    if (found) return page(found.map((part, at) => (at ? encodeURIComponent(decoded(part)) : part)));
  }
  return "";
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function startAddresses() {
  const follow = () => {
    const target = ours(location.hash);
    if (!target) return;
    if (location.pathname === "/") location.replace(target);
    else if (location.pathname === "/sign-in") location.replace(`/sign-in?next=${encodeURIComponent(target)}`);
  };
  follow();
  addEventListener("hashchange", follow);
}
