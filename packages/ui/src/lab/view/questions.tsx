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
    </section>
  );
}
