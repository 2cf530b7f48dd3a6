"""What the embedded model may be asked for: one table that drawing, captions, tokenizer and judge all read."""

from __future__ import annotations

from dataclasses import dataclass

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (221, 38, 42),
    "orange": (247, 140, 26),
    "yellow": (251, 216, 46),
    "green": (46, 162, 66),
    "blue": (40, 92, 216),
    "purple": (136, 58, 190),
    "pink": (247, 130, 182),
    "white": (246, 246, 246),
    "black": (30, 30, 33),
    "brown": (128, 78, 42),
}

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "heart", "diamond", "ring", "hexagon")


@dataclass(frozen=True)
class Noun:
    """A nameable thing: the icon that draws it, and whether it can wear any colour."""

    icon: str
    recolours: bool = False
    plural: str = ""


NOUNS: dict[str, Noun] = {
    "apple": Noun("red-apple", recolours=True),
    "banana": Noun("banana"),
    "strawberry": Noun("strawberry", plural="strawberries"),
    "pear": Noun("pear"),
    "carrot": Noun("carrot"),
    "pizza": Noun("pizza"),
    "cupcake": Noun("cupcake"),
    "tree": Noun("deciduous-tree"),
    "pine tree": Noun("evergreen-tree"),
    "cactus": Noun("cactus", plural="cacti"),
    "tulip": Noun("tulip", recolours=True),
    "sunflower": Noun("sunflower"),
    "mushroom": Noun("mushroom", recolours=True),
    "car": Noun("automobile", recolours=True),
    "bus": Noun("bus", plural="buses"),
    "airplane": Noun("airplane"),
    "sailboat": Noun("sailboat"),
    "rocket": Noun("rocket"),
    "cat": Noun("cat-face"),
    "dog": Noun("dog-face"),
    "fish": Noun("tropical-fish", recolours=True, plural="fish"),
    "butterfly": Noun("butterfly", recolours=True, plural="butterflies"),
    "ladybug": Noun("lady-beetle"),
    "duck": Noun("duck"),
    "owl": Noun("owl"),
    "penguin": Noun("penguin"),
    "crab": Noun("crab"),
    "house": Noun("house"),
    "tent": Noun("tent"),
    "balloon": Noun("balloon", recolours=True),
    "umbrella": Noun("umbrella", recolours=True),
    "pumpkin": Noun("jack-o-lantern"),
    "bell": Noun("bell"),
    "moon": Noun("crescent-moon"),
    "gift": Noun("wrapped-gift"),
    "guitar": Noun("guitar"),
}


@dataclass(frozen=True)
class Background:
    """A backdrop: what it is called, how a thing stands on it, and the colours that would vanish there."""

    names: tuple[str, ...]
    places: tuple[str, ...]
    hides: tuple[str, ...] = ()


# {a} and {b} stand for the two colours of a backdrop that has colours of its own.
BACKGROUNDS: dict[str, Background] = {
    "plain": Background(("{a} background", "plain {a} background"), ("on {a}", "on a {a} background")),
    "gradient": Background(("{a} and {b} gradient",), ("on a {a} and {b} gradient", "on a gradient")),
    "stripes": Background(("{a} and {b} stripes",), ("on {a} and {b} stripes", "on stripes")),
    "checkers": Background(("{a} and {b} checkers",), ("on {a} and {b} checkers", "on checkers")),
    "dots": Background(("{b} dots on {a}",), ("on {a} with {b} dots", "on dots")),
    "grass": Background(("grass", "lawn"), ("on the grass", "on grass", "on a lawn"), ("green",)),
    "sky": Background(("sky", "sky with clouds"), ("in the sky", "among the clouds"), ("blue", "white")),
    "sand": Background(("sand", "beach"), ("on the sand", "on sand", "on the beach")),
    "water": Background(("water", "sea"), ("in the water", "on the sea", "on water"), ("blue",)),
    "wood": Background(("wood", "wooden table"), ("on the table", "on a wooden table", "on wood"), ("brown",)),
    "bricks": Background(("brick wall", "bricks"), ("in front of a brick wall", "on the wall"), ("red", "brown")),
    "night": Background(("night sky", "stars"), ("at night", "in the night sky"), ("black",)),
    "meadow": Background(("meadow", "field"), ("in a meadow", "in the field"), ("green", "blue")),
    "snow": Background(("snow",), ("in the snow", "on snow"), ("white",)),
}
COLOURED_BACKGROUNDS = ("plain", "gradient", "stripes", "checkers", "dots")

# What people write instead of the word that the tables above use.
SYNONYMS: dict[str, str] = {
    "crimson": "red",
    "scarlet": "red",
    "golden": "yellow",
    "emerald": "green",
    "navy": "blue",
    "azure": "blue",
    "violet": "purple",
    "rose": "pink",
    "dark": "black",
    "disc": "circle",
    "ball": "circle",
    "box": "square",
    "rhombus": "diamond",
    "donut": "ring",
    "flower": "tulip",
    "fir": "pine tree",
    "kitten": "cat",
    "puppy": "dog",
    "automobile": "car",
    "coach": "bus",
    "plane": "airplane",
    "boat": "sailboat",
    "spaceship": "rocket",
    "home": "house",
    "cake": "cupcake",
    "duckling": "duck",
    "present": "gift",
    "ladybird": "ladybug",
    "jack-o-lantern": "pumpkin",
    "parasol": "umbrella",
    "crescent": "moon",
    "goldfish": "fish",
    "toadstool": "mushroom",
}

ADJECTIVES = ("big", "small", "little", "nice", "bright", "cute", "pretty", "beautiful", "large", "tiny", "single")
OPENINGS = (
    "a photo of",
    "a picture of",
    "a drawing of",
    "an image of",
    "an illustration of",
    "please draw",
    "paint",
    "add",
    "there is",
    "show me",
)
ENDINGS = ("please", "high quality", "detailed", "in the center", "shape", "here")
REMOVALS = (
    "remove the object",
    "remove it",
    "remove",
    "nothing",
    "nothing, just the background",
    "background",
    "empty background",
    "just the background",
    "empty",
    "clean background, no object",
    "erase the object",
)


def plural(name: str) -> str:
    """Several of a shape or noun: `plural("butterfly") == "butterflies"`."""
    noun = NOUNS.get(name)
    return (noun.plural if noun else "") or name + "s"


def article(phrase: str) -> str:
    """`"an"` before a vowel, else `"a"`."""
    return "an" if phrase[:1].lower() in "aeiou" else "a"


def words() -> list[str]:
    """Every word that the model is trained on, sorted."""
    phrases = [*COLOURS, *SHAPES, *NOUNS, *SYNONYMS, *SYNONYMS.values(), *ADJECTIVES, *OPENINGS, *ENDINGS, *REMOVALS]
    phrases += [plural(name) for name in (*SHAPES, *NOUNS)]
    for background in BACKGROUNDS.values():
        phrases += [*background.names, *background.places]
    phrases += ["a", "an", "the", "some", "one", "and", "with", "that", "is", "colored", "coloured", "of", "on", "in"]
    text = " ".join(phrases).replace("{a}", "").replace("{b}", "").replace(",", " ").replace("-", " - ")
    return sorted(set(text.split()))


def vocabulary() -> dict[str, object]:
    """The tables as plain data, for the model folder."""
    return {
        "colours": list(COLOURS),
        "shapes": list(SHAPES),
        "nouns": list(NOUNS),
        "backgrounds": list(BACKGROUNDS),
        "synonyms": dict(SYNONYMS),
        "words": words(),
    }
