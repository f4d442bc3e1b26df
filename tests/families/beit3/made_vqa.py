"""A set in the official formats of VQAv2: images of a coloured shape, questions about them, ten people's answers."""

import json
import random
from pathlib import Path

from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "triangle")
COLOURS = {"red": (220, 40, 30), "green": (40, 170, 60), "blue": (40, 70, 220), "yellow": (230, 210, 50)}
PARTS = {"train2014": 1, "val2014": 2, "test2015": 3}
"""The first digit of image ids."""


def draw(shape: str, colour: str, side: int = 48) -> Image.Image:
    image = Image.new("RGB", (side + 16, side), "white")
    pen, box = ImageDraw.Draw(image), (side // 4, side // 6, side, side - side // 6)
    if shape == "circle":
        pen.ellipse(box, fill=COLOURS[colour])
    elif shape == "square":
        pen.rectangle(box, fill=COLOURS[colour])
    else:
        pen.polygon([(box[0], box[3]), (box[2], box[3]), ((box[0] + box[2]) // 2, box[1])], fill=COLOURS[colour])
    return image


def ask(shape: str, colour: str, rng: random.Random) -> list[tuple[str, str, str, str]]:
    """(question, answer, type of answer, type of question)"""
    guess = rng.choice(SHAPES)
    return [
        ("What color is the shape?", colour, "other", "what color is the"),
        ("What shape is it?", shape, "other", "what shape is"),
        (f"Is there a {guess}?", "yes" if guess == shape else "no", "yes/no", "is there a"),
        ("How many shapes are there?", "1", "number", "how many"),
    ]


def people(answer: str, rng: random.Random) -> list[str]:
    """Ten, of whom up to three say something else."""
    others = {"yes": ["no"], "no": ["yes"], "1": ["one", "2"]}.get(answer, [f"dark {answer}", "don't know"])
    given = [answer] * 10
    for place in rng.sample(range(10), rng.randint(0, 3)):
        given[place] = rng.choice(others)
    return given


def write_vqav2(root: Path, images: int = 12, seed: int = 0) -> Path:
    """train2014, val2014, test2015 and test-dev2015 (half of test2015), `images` each; questions in `root`/vqa."""
    rng = random.Random(seed)
    (root / "vqa").mkdir(parents=True)
    for part, digit in PARTS.items():
        (root / part).mkdir()
        questions, annotations = [], []
        for number in range(images):
            image_id = digit * 1000 + number
            shape, colour = SHAPES[number % len(SHAPES)], rng.choice(list(COLOURS))
            draw(shape, colour).save(root / part / f"COCO_{part}_{image_id:012d}.jpg", quality=95)
            for place, (question, answer, kind, asked) in enumerate(ask(shape, colour, rng)):
                row = {"image_id": image_id, "question_id": image_id * 1000 + place}
                questions.append({**row, "question": question})
                given = [
                    {"answer": one, "answer_confidence": "yes", "answer_id": number}
                    for number, one in enumerate(people(answer, rng), start=1)
                ]
                annotations.append(
                    {
                        "question_type": asked,
                        "multiple_choice_answer": answer,
                        "answers": given,
                        "image_id": image_id,
                        "answer_type": kind,
                        "question_id": row["question_id"],
                    }
                )
        write_questions(root, part, questions)
        if part == "test2015":
            write_questions(root, "test-dev2015", questions[: len(questions) // 2])
        else:
            rng.shuffle(annotations)
            write(root / "vqa" / f"v2_mscoco_{part}_annotations.json", part, annotations=annotations)
    return root


def write_questions(root: Path, part: str, questions: list[dict]) -> None:
    name = f"v2_OpenEnded_mscoco_{part}_questions.json"
    write(root / "vqa" / name, part, task_type="Open-Ended", questions=questions)


def write(file: Path, part: str, **members: object) -> None:
    """With the members that official files have beside, in their order."""
    about = {"info": {"version": "2.0", "year": 2017}, "data_type": "mscoco", "data_subtype": part}
    file.write_text(json.dumps({**about, **members, "license": {"name": "none"}}))
