// The two charts of the page: how safe and how near to the optimum, and what becomes of the pairs.

import { createChart, LOG_SHARE, NATS } from "./charts.js";
import { find } from "./elements.js";
import { say, shown } from "./words.js";

const linesOf = (...lines) => [true, false].flatMap((ghost) => lines.map(([key, style]) => ({ key, style, ghost })));

export function createCurves() {
  const distances = createChart(find("distances"), linesOf(["tv", "best"], ["unsafe", "hazard"]), LOG_SHARE);
  const likelihoods = createChart(find("likelihoods"), linesOf(["chosen", "win"], ["rejected", "lose"]), NATS);

  return {
    draw({ run, beside }, lang) {
      const words = (y) => ({ x: say(lang, "steps"), y: say(lang, y), comma: lang === "de" ? "," : "." });
      distances.draw(run.path, beside?.path, words("logShare"));
      likelihoods.draw(run.path, beside?.path, words("nats"));
    },
    /** Titles, and what a screen reader reads in place of the picture. */
    say({ run }, lang, sentence) {
      const [chosen, rejected] = ["chosen", "rejected"].map((key) => shown(run.path[key].at(-1), lang));
      const tell = (chart, name, told) => {
        const title = say(lang, name);
        chart.say(title, say(lang, "chartLabel", { title, sentence: told }));
      };
      tell(distances, "distances", sentence);
      tell(likelihoods, "likelihoods", say(lang, "chartNumbers", { chosen, rejected }));
    },
    legend({ beside }, lang) {
      const thin = beside ? [{ text: say(lang, "thin") }] : [];
      const line = (style, key) => ({ style, text: say(lang, key) });
      distances.legend([line("hazard", "unsafeMass"), line("best", "tvOptimum"), ...thin]);
      likelihoods.legend([line("win", "chosen"), line("lose", "rejected"), ...thin]);
    },
  };
}
