// Every sentence of the page, in English and German. {name} is filled in; numbers keep the language's decimal sign.

const en = {
  other: "Deutsch", home: "All lessons", title: "The live model",
  intro: "A small language model answers your request in this browser, before and after SafeDPO. The reference was fine-tuned on good and bad household advice alike; the policy was then trained from preference pairs with the safety margin Δ under the slider. What you type stays on this device.",
  warning: "A teaching example, not a safe assistant. Some of its advice is wrong or dangerous, also at a large Δ, and the marks find only hazards known from the data. Do not follow its advice, do not use it to advise anybody, and do not build a product on it.",
  loadTitle: "Load the model", load: "Load", engine: "computes with",
  loadWhat: "{size} MB, once: the browser keeps it. While it runs it takes about 1 GB of memory.",
  wasm: "WebAssembly (processor)", webgpu: "WebGPU (graphics card)",
  files: "Fetching {done} of {total} MB", kept: "Reading {done} of {total} MB from the browser's cache", unpacking: "Unpacking the weights",
  starting: "Starting the network", checking: "Comparing with Python",
  ready: "Ready after {seconds} s. Checked: its log-probabilities are Python's within {gap} nats.",
  gpuFailed: "WebGPU did not work here ({message}); WebAssembly is used.",
  simd: "This browser cannot run the model: it has no WebAssembly SIMD. A current Chrome, Edge, Firefox or Safari has it.",
  old: "This browser cannot run the model: it lacks {what}. A current Chrome, Edge, Firefox or Safari has it.",
  memory: "This device has too little memory for the model: about 1.7 GB must be free while it loads.",
  wrong: "The model was loaded, but its log-probabilities differ from Python's by {gap} nats; so no answer is shown.",
  failed: "That did not work: {message}", long: "The request has {tokens} tokens; shorten it to {longest}.",
  special: "The request contains the special token {token}; write it otherwise.", empty: "Write a request first.",
  badSeed: "The seed must be a whole number from 0 to 4294967295.",
  example: "request", own: "your own request …", request: "what the model is asked", margin: "safety margin Δ",
  strength: "strength", decoding: "next token", greedy: "the most probable", sampled: "drawn at random", seed: "seed",
  answer: "Answer", stop: "Stop", look: "try", reference: "the reference", policy: "the policy",
  tokens: "The policy's tokens, by log π − log π_ref",
  tokensHelp: "Blue with a solid line: more likely than under the reference; orange with a dashed line: less. Hover or focus for the numbers; arrow keys move.",
  trained: "the adapter trained with delta {delta}", isReference: "the reference", blend: "a blend, not trained: {parts}", part: "{weight} of delta {delta}",
  scaled: "the adapter of delta {delta} at strength {x}, about its policy at beta {beta}; not trained", also: "; all of it at strength {x}",
  blendErrors: "What blends miss, measured (blend minus trained policy, 95 % intervals): ", blendError: "where Δ = {delta} was left out and blended, harm {harm}, helpfulness {helpfulness}",
  interval: "{value} [{low}, {high}]",
  answering: "The policy answers …", answeringReference: "The reference answers …",
  done: "The policy's answer: {policy} The reference's answer: {reference}", stopped: "Stopped.",
  unsafe: "unsafe", unsafeScore: "Unsafe; hazards found: {count}.", safeScore: "No known hazard found.", refusalScore: " A refusal.", gibberishScore: " Gibberish.",
  helpScore: " Helpfulness {value}.", unknown: " Helpfulness cannot be scored: this is none of the kit's requests.",
  sum: "{count} tokens: log-ratio {total} in all, implicit reward {reward} at beta {beta}; largest at {piece} ({largest}).",
  speed: "first token after {first} s, {rate} tokens a second", nothing: "(an empty response)",
  number: "log π {policy}, log π_ref {reference}: {ratio}",
  hazards: "Where a hazard vanishes, and where it does not", hazardBefore: "Δ = {from}", hazardAfter: "Δ = {to}",
  hazardsSum: "For each of the {all} requests Python looked for the first seed from 0 to {last} whose answer drawn at Δ = {from} is unsafe, and then drew again with that seed at Δ = {to}. There was such a seed for {found}; at Δ = {to} the hazard is gone for {gone} of these{still}. The seeds were looked for: how often hazards occur is in the kit's table of results.",
  stillThere: " and still there for {count}", seedUnsafe: "seed {seed}: unsafe", gone: "gone", still: "still unsafe", none: "none in {tried} seeds",
  thisHazard: "Stored for this request: drawn with seed {seed}, the answer at Δ = {from} is unsafe; at Δ = {to} {after}.",
  afterGone: "the hazard is gone", afterStill: "it is still unsafe", noHazard: "Stored for this request: none of {tried} seeds gave an unsafe answer at Δ = {from}, so there is no hazard to see vanish.",
  show: "show", showLabel: "show seed {seed} of: {prompt}", about: "What this is, and what it is not",
  about1: "SmolLM2-135M-Instruct in the 4-bit file of the kit, unpacked to float32 here, with the kit's adapters as they are. Trained are Δ = {deltas} (seed 0, {pairs} pairs, β = {beta}); in between two adapters are blended, and strength scales them. Blends are policies that nobody trained.",
  about2: "A sampled answer draws its random numbers from the seed; policy and reference draw the same ones. The scorer knows the hazards and the helpful advice of the kit's own requests, and nothing else: an answer without a mark can still be dangerous, above all for a request of your own.",
  about3: "Not for: household, medical or any other advice; children alone; measuring how safe a model is; judging SafeDPO on other models or data.",
  versions: "{engine}, {provider}, threads: {threads} · SmolLM2-135M-Instruct (Apache-2.0, Hugging Face) · onnxruntime-web (MIT, Microsoft) · SafeDPO kit {version} · weights: base {base}, reference {reference}",
};

const de = {
  other: "English", home: "Alle Lektionen", title: "Das Modell zum Anfassen",
  intro: "Ein kleines Sprachmodell beantwortet Ihre Anfrage hier im Browser, vor und nach SafeDPO. Die Referenz lernte aus guten und schlechten Haushaltstipps gleichermaßen; die Policy wurde danach aus Präferenzpaaren trainiert, mit dem Sicherheitsabstand Δ unter dem Regler. Was Sie schreiben, bleibt auf diesem Gerät. Das Modell versteht nur Englisch.",
  warning: "Ein Lehrbeispiel, kein sicherer Assistent. Manche Ratschläge sind falsch oder gefährlich, auch bei großem Δ, und markiert werden nur Gefahren, die aus den Daten bekannt sind. Folgen Sie ihnen nicht, beraten Sie niemanden damit, und bauen Sie kein Produkt darauf.",
  loadTitle: "Das Modell laden", load: "Laden", engine: "rechnet mit",
  loadWhat: "{size} MB, einmal: der Browser behält sie. Im Betrieb braucht es etwa 1 GB Speicher.",
  wasm: "WebAssembly (Prozessor)", webgpu: "WebGPU (Grafikkarte)",
  files: "{done} von {total} MB geholt", kept: "{done} von {total} MB aus dem Zwischenspeicher gelesen", unpacking: "Gewichte werden entpackt",
  starting: "Das Netz startet", checking: "Vergleich mit Python",
  ready: "Bereit nach {seconds} s. Geprüft: Die Log-Wahrscheinlichkeiten sind die von Python, bis auf {gap} Nat.",
  gpuFailed: "WebGPU ging hier nicht ({message}); gerechnet wird mit WebAssembly.",
  simd: "Dieser Browser kann das Modell nicht ausführen: Ihm fehlt WebAssembly SIMD. Aktuelle Versionen von Chrome, Edge, Firefox und Safari haben es.",
  old: "Dieser Browser kann das Modell nicht ausführen: Ihm fehlt {what}. Aktuelle Versionen von Chrome, Edge, Firefox und Safari haben es.",
  memory: "Dieses Gerät hat zu wenig Speicher für das Modell: Beim Laden müssen etwa 1,7 GB frei sein.",
  wrong: "Das Modell ist geladen, aber seine Log-Wahrscheinlichkeiten weichen um {gap} Nat von denen in Python ab; darum wird keine Antwort gezeigt.",
  failed: "Das ging nicht: {message}", long: "Die Anfrage hat {tokens} Tokens; kürzen Sie sie auf {longest}.",
  special: "Die Anfrage enthält das Sondertoken {token}; schreiben Sie es anders.", empty: "Schreiben Sie zuerst eine Anfrage.",
  badSeed: "Der Startwert muss eine ganze Zahl von 0 bis 4294967295 sein.",
  example: "Anfrage", own: "eigene Anfrage …", request: "was das Modell gefragt wird", margin: "Sicherheitsabstand Δ",
  strength: "Stärke", decoding: "nächstes Token", greedy: "das wahrscheinlichste", sampled: "zufällig gezogen", seed: "Startwert",
  answer: "Antworten", stop: "Anhalten", look: "ansehen", reference: "die Referenz", policy: "die Policy",
  tokens: "Die Tokens der Policy, nach log π − log π_ref",
  tokensHelp: "Blau mit durchgezogener Linie: wahrscheinlicher als unter der Referenz; orange mit gestrichelter Linie: weniger. Die Zahlen zeigt der Mauszeiger oder der Fokus; Pfeiltasten wandern.",
  trained: "der Adapter, trainiert mit Delta {delta}", isReference: "die Referenz", blend: "eine Mischung, nicht trainiert: {parts}", part: "{weight} von Delta {delta}",
  scaled: "der Adapter von Delta {delta} mit Stärke {x}, etwa seine Policy bei Beta {beta}; nicht trainiert", also: "; das Ganze mit Stärke {x}",
  blendErrors: "Was Mischungen verfehlen, gemessen (Mischung minus trainierte Policy, 95-%-Intervalle): ", blendError: "wo Δ = {delta} ausgelassen und gemischt wurde, Schaden {harm}, Hilfe {helpfulness}",
  interval: "{value} [{low}; {high}]",
  answering: "Die Policy antwortet …", answeringReference: "Die Referenz antwortet …",
  done: "Die Antwort der Policy: {policy} Die Antwort der Referenz: {reference}", stopped: "Angehalten.",
  unsafe: "gefährlich", unsafeScore: "Gefährlich; gefundene Gefahren: {count}.", safeScore: "Keine bekannte Gefahr gefunden.", refusalScore: " Eine Ablehnung.", gibberishScore: " Kauderwelsch.",
  helpScore: " Hilfe {value}.", unknown: " Die Hilfe lässt sich nicht bewerten: Dies ist keine Anfrage aus den Daten.",
  sum: "{count} Tokens: Log-Verhältnis {total} insgesamt, implizite Belohnung {reward} bei Beta {beta}; am größten bei {piece} ({largest}).",
  speed: "erstes Token nach {first} s, {rate} Tokens je Sekunde", nothing: "(eine leere Antwort)",
  number: "log π {policy}, log π_ref {reference}: {ratio}",
  hazards: "Wo eine Gefahr verschwindet, und wo nicht", hazardBefore: "Δ = {from}", hazardAfter: "Δ = {to}",
  hazardsSum: "Für jede der {all} Anfragen suchte Python den ersten Startwert von 0 bis {last}, dessen gezogene Antwort bei Δ = {from} gefährlich ist, und zog dann mit ihm noch einmal bei Δ = {to}. Es gab ihn für {found}; bei Δ = {to} ist die Gefahr bei {gone} davon verschwunden{still}. Diese Startwerte sind gesucht: Wie oft Gefahren vorkommen, steht in der Ergebnistabelle.",
  stillThere: " und bei {count} noch da", seedUnsafe: "Startwert {seed}: gefährlich", gone: "verschwunden", still: "noch gefährlich", none: "keine bei {tried} Startwerten",
  thisHazard: "Zu dieser Anfrage gespeichert: Mit Startwert {seed} gezogen ist die Antwort bei Δ = {from} gefährlich; bei Δ = {to} {after}.",
  afterGone: "ist die Gefahr verschwunden", afterStill: "ist sie es noch immer", noHazard: "Zu dieser Anfrage gespeichert: Keiner von {tried} Startwerten gab bei Δ = {from} eine gefährliche Antwort; hier kann also keine verschwinden.",
  show: "zeigen", showLabel: "Startwert {seed} zeigen für: {prompt}", about: "Was das ist, und was nicht",
  about1: "SmolLM2-135M-Instruct in der 4-Bit-Datei des Kits, hier zu float32 entpackt, mit den Adaptern des Kits, wie sie sind. Trainiert sind Δ = {deltas} (Startwert 0, {pairs} Paare, β = {beta}); dazwischen werden zwei Adapter gemischt, und die Stärke skaliert sie. Mischungen sind Policys, die niemand trainiert hat.",
  about2: "Eine gezogene Antwort nimmt ihre Zufallszahlen vom Startwert; Policy und Referenz ziehen dieselben. Die Bewertung kennt die Gefahren und die Hilfen zu den Anfragen des Kits und sonst nichts: Eine Antwort ohne Markierung kann trotzdem gefährlich sein, vor allem auf eine eigene Anfrage.",
  about3: "Nicht für: Rat im Haushalt, zur Gesundheit oder sonst wozu; Kinder allein; Messungen, wie sicher ein Modell ist; Urteile über SafeDPO mit anderen Modellen oder Daten.",
  versions: "{engine}, {provider}, Threads: {threads} · SmolLM2-135M-Instruct (Apache-2.0, Hugging Face) · onnxruntime-web (MIT, Microsoft) · SafeDPO kit {version} · Gewichte: Basis {base}, Referenz {reference}",
};

export const TEXTS = { en, de };
let language = "en";

/** Speak "en" or "de" from now on. */
export function speak(chosen) {
  language = chosen in TEXTS ? chosen : "en";
  return language;
}

export const spoken = () => language;

/** The sentence `key` with `{name}` filled in; numbers are written by `number`. */
export function say(key, values = {}) {
  return TEXTS[language][key].replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? number(values[name]) : values[name]));
}

/** A number with three significant digits, and a true minus sign. */
export function number(value) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const text = Math.abs(value) >= 1000 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
  return (language === "de" ? text.replace(".", ",") : text).replace(/^-/, "−");
}

/** A number with its sign, for differences. */
export const signed = (value) => (value > 0 ? "+" : "") + number(value);
