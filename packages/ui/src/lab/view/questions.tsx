// The four questions: one click sets what makes the answer visible, starts the run and says what to look at.
import { answer, phase, question } from "../lab.ts";
import { questionNames } from "../parameters.ts";
import { words } from "../words.ts";

export function Questions() {
  const text = words.value;
  const asked = question.value;
  return (
    <section class="questions" aria-labelledby="questions-head">
      <h2 id="questions-head">{text.questions}</h2>
      <ul>
        {questionNames.map((name) => (
          <li key={name}>
            <button
              type="button"
              class="question"
              data-testid={`question-${name}`}
              aria-pressed={asked === name}
              disabled={phase.value === "starting"}
              onClick={() => void answer(name)}
            >
              {text.question[name]}
            </button>
          </li>
        ))}
      </ul>
      <p class="answer" role="status" data-testid="answer">
        {asked && text.answer[asked]}
      </p>
      {asked && (
        <button type="button" class="quiet show" onClick={() => go(asked === "saves" ? "plot-overhead" : "plot-sequences")}>
          {text.show}
        </button>
      )}
    </section>
  );
}

/** Scrolls to where the answer is seen. */
function go(place: string): void {
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  document.getElementById(place)?.scrollIntoView({ behavior: isStill ? "auto" : "smooth", block: "start" });
}
