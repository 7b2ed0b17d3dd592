// From logits to labels: the twin of `inference/decisions.py`, in double precision like it.

export function sigmoid(logit) {
  const small = Math.exp(-Math.abs(logit));
  return (logit >= 0 ? 1 : small) / (1 + small);
}

/** Which labels a text gets, by the model's own rule. */
export function decide(logits, { thresholds, rule, scale }) {
  if (rule === "threshold") {
    return logits.map((logit, index) => sigmoid(logit) >= thresholds[index]);
  }
  return largestExpectedJaccard(margins(logits, { thresholds, scale }));
}

/** How far each logit is above its threshold: what labels rank by. */
export function margins(logits, { thresholds, scale }) {
  return logits.map((logit, index) => {
    const limit = Math.min(Math.max(thresholds[index], 1e-6), 1 - 1e-6);
    return scale * (logit - (Math.log(limit) - Math.log1p(-limit)));
  });
}

/** The k most likely labels, for the k >= 1 of the largest expected Jaccard. */
function largestExpectedJaccard(logOdds) {
  const order = logOdds.map((_, index) => index).sort((a, b) => logOdds[b] - logOdds[a] || a - b);
  const chances = order.map((index) => sigmoid(logOdds[index]));
  const total = chances.reduce((sum, chance) => sum + chance, 0);
  let sum = 0;
  const expected = chances.map((chance, place) => {
    sum += chance;
    return sum / (place + 1 + total - sum);
  });
  const largest = Math.max(...expected) * (1 - 1e-12);
  const last = expected.findIndex((value) => value >= largest);
  const given = logOdds.map(() => false);
  order.slice(0, last + 1).forEach((index) => (given[index] = true));
  return given;
}
