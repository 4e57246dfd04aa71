"""The texts of an experiment: a tokenizer and token ids, made once for all that read the same."""
import glob
import hashlib
import json
import os

from driver.program import Stop, note


def files_of(folder, patterns):
    found = []
    for pattern in patterns:
        names = sorted(glob.glob(pattern, root_dir=folder))
        if not names:
            raise Stop(f"no {folder}/{pattern}", "name another folder with --data")
        found += [folder / name for name in names]
    return found


def check_unchanged(note, files, hint):
    """Keeps a note of files at `note`; one that says otherwise is of an earlier call."""
    entries = [[str(path.resolve()), path.stat().st_size, int(path.stat().st_mtime)] for path in files]
    if note.exists() and json.loads(note.read_text()) != entries:
        raise Stop(f"{note.parent} was made of other files", hint)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(entries, indent=1))


def link_shared(work, data):
    """{shared}: the folder of tasks, by a name that is the same on all machines."""
    shared = work / "shared"
    if not shared.is_symlink():
        shared.symlink_to(data)
    if shared.resolve() != data:
        raise Stop(f"{work} was made with the data of {shared.resolve()}", "name another folder with --work")


def prepare(program, work, shared, data, smoke):
    """-> the places {tokenizer}, {training} and {held_out}, relative to `work`."""
    held_out = files_of(shared, data["validation"])
    inputs = held_out if smoke else files_of(shared, data["inputs"])
    inputs = [path for path in inputs if smoke or path not in held_out]
    words = [*data.get("tokenizer", []), "--vocab-size", data["vocab_size"]]
    each = ["--each"] if data.get("each") else []
    key = json.dumps([[path.name for path in inputs + held_out], words, each], default=str)
    folder = "data-" + hashlib.sha256(key.encode()).hexdigest()[:8]
    check_unchanged(work / folder / "sources.json", inputs + held_out, "name another folder with --work")
    log = work / folder / "log.txt"
    tokenizer = work / folder / "spiece.model"
    if not tokenizer.exists():
        note(f"{folder}: tokenizer ...")
        program.run(["tokenizer", "train", "--input", *inputs, *words, "--output", tokenizer], log)
    for part, files in (("training", inputs), ("held-out", held_out)):
        ready = work / folder / (part + ".ready")
        if ready.exists():
            continue
        note(f"{folder}: {part} ...")
        program.run(["prepare", *each, "--input", *files, "--tokenizer", tokenizer, "--output",
                     work / folder / part, "--validation-share", 0], log)
        ready.write_text("")
    if not each:
        return {"tokenizer": f"{folder}/spiece.model", "training": f"{folder}/training/train",
                "held_out": f"{folder}/held-out/train"}
    names = sorted(os.listdir(work / folder / "held-out"))
    parts = ", ".join(f'"{folder}/held-out/{name}/train" = 1.0' for name in names)
    return {"tokenizer": f"{folder}/spiece.model", "training": f"{folder}/training",
            "held_out": "{ " + parts + " }"}
