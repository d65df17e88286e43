"""The metadata `co2_eq_emissions` of a Hugging Face model card: a README.md's front matter, in grams.

Format: huggingface.co/docs/hub/model-cards-co2. CodeCarbon's file is in kilograms, and cards that were filled in from
it are wrong by a factor of a thousand, so the unit stands beside the number.
"""

from __future__ import annotations

from collections.abc import Sequence

from joulegram.exporters import CannotExport, Document
from joulegram.exporters.account import Account, account, intensity_sources, lacking, runs_in_words, zones
from joulegram.exporters.hardware import in_words
from joulegram.exporters.methods import bounds, kind, sentences
from joulegram.exporters.texts import listing, markdown, one_line, yaml
from joulegram.version import __version__

# What trains a model, as the card calls it.
_TRAINING = {"train": "pre-training", "retrain": "pre-training", "finetune": "fine-tuning"}


def export(documents: Sequence[Document]) -> str:
    """A card with the metadata, and a paragraph that says how its number was found.

    What serves the model is not what the card asks for and is left out.

    Raises:
        CannotExport: there is no run that made a model, or carbon cannot stand in one figure.
    """
    made = [document for document in documents if document["run"].get("stage") != "serve"]
    if not made:
        raise CannotExport("a model card tells what training emitted, and these runs are all of stage serve")
    whole = account(made)
    return "\n".join(["---", "co2_eq_emissions:", *_fields(whole), "---", "", "## Emissions", "", _body(whole), ""])


def _fields(whole: Account) -> list[str]:
    about = [f"joulegram {__version__}", runs_in_words(whole.documents)]
    if whole.carbon_g.value is not None:
        sources = listing(intensity_sources(whole)) or "source not recorded"
        about += [f"{whole.carbon_g.method}, {kind(whole)}", f"grid intensity: {sources}"]
    training = [_TRAINING[stage] for d in whole.documents if (stage := d["run"].get("stage")) in _TRAINING]
    places = [zone for zone in zones(whole.documents) if zone != "unknown zone"]
    fields = {
        "source": "; ".join(about),
        "training_type": listing(training, ", "),
        "geographical_location": listing(places, ", "),
        "hardware_used": listing(in_words(whole.documents)),
    }
    return [*_emissions(whole), *(f"  {name}: {yaml(value)}" for name, value in fields.items() if value)]


def _emissions(whole: Account) -> list[str]:
    grams = whole.carbon_g
    if grams.value is None:
        return [f"  # emissions: missing ({one_line(grams.how)})"]
    limits = bounds(grams, lambda value: f"{value:.4g} g")
    partly = [f"  # without {listing(lacking(whole))}"] if lacking(whole) else []
    return [
        f"  # grams of CO2e, not kilograms; {limits}; {grams.method}",
        *partly,
        f"  emissions: {_number(grams.value)}",
    ]


def _number(value: float) -> str:
    """A float that YAML 1.1 reads as one: with a point, also before an exponent."""
    text = repr(float(value))
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _body(whole: Account) -> str:
    return markdown(" ".join(sentences(whole)))
