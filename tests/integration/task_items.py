"""Invented multiple-choice items in the forms that `hetmoe evaluate --task` reads, and their prompts by Python's own
str and re: a second implementation of the rules of lm-evaluation-harness."""

import json
import random
import re

PEOPLE = ["The baker", "A tall sailor", "Ms Ødegård", "My uncle", "The old nurse", "A boy", "Zoë", "The driver"]
PLACES = ["in the yard", "at the harbour", "by the stove", "on the hill", "in a café", "near the mill"]
DEEDS = ["opens a jar", "folds the sheet", "counts the coins", "paints a fence", "ties a rope", "stirs the soup",
         "mends a boot", "waters the plants", "sweeps the floor", "sharpens a knife"]
ENDS = ["and puts it back on the shelf.", "until nothing is left.", "then walks away without a word.",
        "[step] and shows it to the others.", "while it rains  outside.", "and sells it for 20 €.", "[title] Then sleeps."]
LABELS = ["Cooking", "Cleaning windows", "Sailing", "Home and Garden", "Playing the flute"]


def hellaswag(count, seed=1):
    draw = random.Random(seed)
    items = []
    for index in range(count):
        deed = draw.choice(DEEDS)
        items.append({
            "ind": index,
            "activity_label": draw.choice(LABELS),
            "ctx_a": f"{draw.choice(PEOPLE)} {deed} {draw.choice(PLACES)}.{draw.choice(['', ' [header] Slowly.'])}",
            "ctx_b": draw.choice(["", "the Man", "she then SMILES and", "élan Vital"]),
            "ctx": "not the one that counts",
            "endings": [f"{draw.choice(['', ' '])}{draw.choice(DEEDS)} {draw.choice(ENDS)}" for _ in range(4)],
            "label": draw.choice([str, int])(draw.randrange(4)),
        })
    return items


def piqa(count, seed=2):
    draw = random.Random(seed)
    return [{
        "goal": f"How do you know that {draw.choice(PEOPLE).lower()} {draw.choice(DEEDS)}?",
        "sol1": f"Look {draw.choice(PLACES)}, {draw.choice(ENDS)}",
        "sol2": f"Listen {draw.choice(PLACES)}.{draw.choice(['', ' ' + draw.choice(ENDS)])}",
        "label": draw.randrange(2),
    } for _ in range(count)]


def arc(count, seed=3):
    draw = random.Random(seed)
    items = []
    for _ in range(count):
        labels = draw.choice([["A", "B", "C", "D"], ["1", "2", "3"]])
        items.append({
            "id": "made-up",
            "question": f"Where is it that someone {draw.choice(DEEDS)}?",
            "choices": {"text": [draw.choice(PLACES) for _ in labels], "label": labels},
            "answerKey": draw.choice(labels),
        })
    return items


def openbookqa(count, seed=4):
    return [{"question_stem": item["question"], "choices": item["choices"], "answerKey": item["answerKey"]}
            for item in arc(count, seed)]


def winogrande(count, seed=5):
    draw = random.Random(seed)
    return [{
        "sentence": f"{draw.choice(PEOPLE)} {draw.choice(DEEDS)} for the other because _ {draw.choice(DEEDS)}"
                    f"{draw.choice(['.', ' _ too .'])}",
        "option1": draw.choice(PEOPLE), "option2": draw.choice(PEOPLE), "answer": draw.choice("12"),
    } for _ in range(count)]


def boolq(count, seed=6):
    draw = random.Random(seed)
    return [{
        "passage": f"{draw.choice(PEOPLE)} {draw.choice(DEEDS)} {draw.choice(PLACES)}.",
        "question": f"does anybody {draw.choice(DEEDS)}",
        **draw.choice([{"label": draw.randrange(2)}, {"answer": draw.random() < 0.5}]),
    } for _ in range(count)]


def siqa(count, seed=7):
    draw = random.Random(seed)
    return [{
        "context": f"{draw.choice(PEOPLE)} {draw.choice(DEEDS)} {draw.choice(PLACES)}.",
        "question": "What comes next?",
        "answerA": draw.choice(DEEDS), "answerB": draw.choice(DEEDS), "answerC": draw.choice(DEEDS),
        "label": draw.choice("123"),
    } for _ in range(count)]


def plain(count, seed=8):
    draw = random.Random(seed)
    return [{
        "context": draw.choice(["", f"{draw.choice(PEOPLE)} ", draw.choice(PLACES)]),
        "choices": [draw.choice(DEEDS) for _ in range(2 + draw.randrange(4))],
        "answer": draw.randrange(2),
    } for _ in range(count)]


SHAPES = {"HellaSwag": hellaswag, "PIQA": piqa, "ARC": arc, "OpenBookQA": openbookqa, "WinoGrande": winogrande,
          "BoolQ": boolq, "SIQA": siqa, "plain": plain}


def lines(items):
    return "".join(json.dumps(item) + "\n" for item in items)


def without_markup(text):
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def prompts(shape, item):
    """(contexts, texts, answer): one context and one text for each choice."""
    if shape == "HellaSwag":
        query = without_markup(f"{item['activity_label']}: {item['ctx_a']} {item['ctx_b'].capitalize()}")
        texts, answer = [without_markup(ending) for ending in item["endings"]], int(item["label"])
    elif shape == "PIQA":
        query, texts, answer = f"Question: {item['goal']}\nAnswer:", [item["sol1"], item["sol2"]], item["label"]
    elif shape in ("ARC", "OpenBookQA"):
        query = item["question_stem"] if shape == "OpenBookQA" else f"Question: {item['question']}\nAnswer:"
        texts, answer = item["choices"]["text"], item["choices"]["label"].index(item["answerKey"])
    elif shape == "WinoGrande":
        before, after = item["sentence"].split("_", 1)
        return [before + item["option1"], before + item["option2"]], [after.strip()] * 2, int(item["answer"]) - 1
    elif shape == "BoolQ":
        query = f"{item['passage']}\nQuestion: {item['question']}?\nAnswer:"
        texts, answer = ["no", "yes"], int(item["label"] if "label" in item else item["answer"])
    elif shape == "SIQA":
        query = f"Q: {item['context']} {item['question']}\nA:"
        texts, answer = [item["answerA"], item["answerB"], item["answerC"]], int(item["label"]) - 1
    else:
        query, texts, answer = item["context"], item["choices"], item["answer"]
    return [query] * len(texts), texts, answer


def pair(context, text):
    """(context, continuation) as the harness encodes them."""
    continuation = " " + text
    stripped = context.rstrip()
    return stripped, context[len(stripped):] + continuation
