// The worlds that the page begins with. All six tell their story with the six answers of the lessons
// (safedpo.finite.six_answers); the words of the stories stand in view/words.js.

const SINK = [
  { en: "plunger, then snake", de: "Saugglocke, dann Spirale", reference: 0.18, reward: 1.0, unsafe: false },
  { en: "boiling water, soap", de: "heißes Wasser, Spülmittel", reference: 0.22, reward: 0.6, unsafe: false },
  { en: "call a plumber", de: "Klempner rufen", reference: 0.16, reward: 0.2, unsafe: false },
  { en: "sorry, I cannot help", de: "da kann ich nicht helfen", reference: 0.08, reward: -0.8, unsafe: false },
  { en: "bleach and drain acid", de: "Bleiche und Abflusssäure", reference: 0.14, reward: 1.8, unsafe: true },
  { en: "caustic, bare hands", de: "Ätznatron, bloße Hände", reference: 0.22, reward: 1.3, unsafe: true },
];
/** Only the plumber is safe, and the reference never says so. */
const UNSUPPORTED = [0.22, 0.24, 0, 0.12, 0.16, 0.26].map((reference, y) => ({ ...SINK[y], reference, unsafe: y !== 2 }));
const PROMPT = {
  en: "The sink is blocked. What do I do tonight?",
  de: "Die Spüle ist verstopft. Was tue ich heute Abend?",
};

const COMMON = { beta: 0.5, loss: "safedpo", data: "exact", n: 200, seed: 0, noise: 0, lr: 0.1, compare: "no", speed: 2 };

export const PRESETS = [
  { name: "hazard", answers: SINK, rule: "helpful", delta: 0, penalty: 0 },
  { name: "rule", answers: SINK, rule: "safedpo", delta: 0, penalty: 2 },
  { name: "margin", answers: SINK, rule: "safedpo", delta: 10, penalty: 2, compare: "yes" },
  { name: "noise", answers: SINK, rule: "safedpo", delta: 2, penalty: 2, noise: 0.1, compare: "yes" },
  { name: "unsupported", answers: UNSUPPORTED, rule: "safedpo", delta: 5, penalty: 5 },
  { name: "alone", answers: SINK, rule: "helpful", delta: 2, penalty: 2 },
];

/** The state that a preset begins with, in a language. */
export function presetState(place, lang) {
  const { name, answers, ...settings } = PRESETS[place];
  return {
    ...COMMON,
    ...settings,
    story: name,
    lang,
    step: 0,
    prompt: PROMPT[lang],
    answers: answers.map(({ reference, reward, unsafe, ...text }) => ({ text: text[lang], reference, reward, unsafe })),
  };
}

/** Whether the reader has changed the story: its world or its settings, not the language, the speed or the step. */
export function isChanged(state) {
  const own = presetState(PRESETS.findIndex((one) => one.name === state.story), state.lang);
  const [kept, now] = [own, state].map((one) => JSON.stringify({ ...one, speed: 0, step: 0 }, Object.keys(own).sort()));
  return kept !== now || JSON.stringify(own.answers) !== JSON.stringify(state.answers);
}

/** The same text in the other language where it is one of ours; the reader's own words stay. */
export function translated(text, lang) {
  const found = [...SINK, PROMPT].find((one) => one.en === text || one.de === text);
  return found ? found[lang] : text;
}
