"""Names of columns and labels: cleaned, recognized, compared, and headers that are missing."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ..common.errors import DataError, counted, shorten

TEXT_COLUMNS = frozenset(
    {"text", "texts", "tweet", "sentence", "content", "comment", "message", "review", "document",
     "utterance", "post", "النص", "نص", "التغريدة", "تغريدة", "الجملة", "texto", "tuit"}
)  # fmt: skip
LABELS_COLUMNS = frozenset({"labels", "label", "emotions", "emotion"})
MORE_LABELS_COLUMNS = frozenset(
    {"category", "categories", "class", "classes", "tag", "tags", "target", "targets", "choices",
     "sentiment", "sentiments", "feeling", "feelings", "cats", "annotations", "label_names",
     "المشاعر", "التسمية", "تسمية", "الوسم", "الفئة",
     "الشعور", "العاطفة", "العواطف", "التصنيف", "تصنيف", "emociones", "emoción",
     "etiquetas", "etiqueta"}
)  # fmt: skip
ID_COLUMNS = frozenset({"id", "ids", "tweet_id", "text_id"})
INDEX_COLUMNS = ID_COLUMNS | {"index", "idx", "row", "unnamed: 0", "__index_level_0__"}
KNOWN_COLUMNS = TEXT_COLUMNS | LABELS_COLUMNS | INDEX_COLUMNS | MORE_LABELS_COLUMNS

_METADATA = """
    age agreement ann annotated annotation annotator annotators app approved archived
    augmented author batch bot browser chars checked clicks client cluster code coder col
    column comments confidence corpus count country counts crawled created dataset date day
    deleted dev device dialect domain done downloaded drop dropped duplicate duplicated edited
    email emoji exclude excluded exported favorite favorited favorites favourite feature
    female field file filtered flag flagged fold folds followers following friends gender geo
    gold group handle has hash hashtag hashtags holdout hour hours id ids idx image imported
    impressions include included index invalid ip is iteration judge keep key kfold labeler
    labeller lang language len length level like likes line link links location majority male
    media mention mentions minutes month num number original page part partition passed path
    percent phase phone pilot place platform position possibly pred predicted prediction
    predictions prob probability processed published quality quarter quoted random rank rater
    raters rating ratio removed replies reply retweet retweeted retweets reviewed reviewer
    round row rt sample sampled score scraped seed selected session set sex shares skipped
    source spam split splits stage stars status subreddit subset subtask synthetic tagger task
    test testset time timestamp tmp tokens topic toxicity train trainset translated truncated
    type unclear unnamed updated uploaded url urls usable user username users valid validation
    uid uuid guid userid tweetid val eval aug dup quote quoted video photo poll hidden private
    public pinned anonymous auto manual machine human weekend
    var verification verified version views vote votes was week weight withheld words worker
    workers y year
    معرف رقم مصدر لغة طية تدريب اختبار تحقق تغريد ريتويت رد متابعون مستخدم تاريخ رابط صورة فيديو
    مكرر محذوف موثق بلد لهجة معلق مدقق سطر صف وزن
    idioma fuente usuario prueba entrenamiento pliegue fecha pais enlace imagen anotador fila numero
    duplicado seguidores respuesta
"""
_METADATA_WORDS = frozenset(_METADATA.split())
_WORD = re.compile(r"[^\W_]+")
_STEM = re.compile(r"^(?:is|has|was)(?=...)|^ال(?=...)|\d+$")
_COUNTERS = frozenset({"", "no", "no.", "nr", "nr.", "s.no", "s.no.", "sno", "م"})
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
NUMBER = re.compile(r"[+-]?\d+(?:[.٫]\d*)?")
NUMBERS = re.compile(rf"\s*{NUMBER.pattern}(?:\s*[,;|/،؛\s]\s*{NUMBER.pattern})*\s*")
_BOOLEAN = frozenset({"true", "false", "yes", "no"})
_SCORED = re.compile(  # joy: 3, joy=.5, joy (3), joy 80%, joy 0.8; not e17 or emotion 3
    r".*\S\s*[:=]\s*\d*[.,٫]?\d+\s*[%٪]?"
    r"|.*\S\s*\(\s*\d*[.,٫]?\d+\s*[%٪]?\s*\)"
    r"|.*[^\s\d.,٫]\s*\d+(?:[.,٫]\d+)?\s*[%٪]|.*[^\s\d.,٫]\s+\d*[.,٫]\d+"
)
_WORDS_OF_A_SENTENCE = 5
_LONG = 60

_VISIBLE = re.compile("[^\\s\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_JOINERS = "\u200c\u200d"  # they change how letters join, and are invisible only at the ends
_NULLS = frozenset({"nan", "null", "nat", "<na>", "n/a", "#n/a"})
_LETTERS = str.maketrans(
    {"ى": "ي", "ی": "ي", "ے": "ي", "ک": "ك", "ة": "ه", "ہ": "ه", "ھ": "ه", "ۀ": "ه", "ٱ": "ا",
     "ـ": None}
)  # fmt: skip


def is_blank(text: str) -> bool:
    """Return whether a text has no visible character."""
    return _VISIBLE.search(text) is None


def clean_name(name: str) -> str:
    """Return a name in Unicode NFC, without invisible characters, its white space single.

    Example:
        ```python
        >>> clean_name(" \\ufeffjoy\\u200f ")
        'joy'

        ```
    """
    if name.isascii() and name.isprintable() and "  " not in name:
        return name.strip()
    kept = "".join(
        character
        for character in name
        if character in _JOINERS or unicodedata.category(character) != "Cf"
    )
    kept = " ".join(unicodedata.normalize("NFC", kept).split())
    return kept.strip(_JOINERS)


def has_invisible(name: str) -> bool:
    """Return whether a name holds format characters, such as directional marks."""
    return any(unicodedata.category(character) == "Cf" and character not in _JOINERS
               for character in name)  # fmt: skip


def is_missing(name: str) -> bool:
    """Return whether a name is how programs write a missing value, such as `nan` or `None`."""
    return name == "None" or name.lower() in _NULLS


def why_no_name(name: str, column: str | None = None) -> str | None:
    """Return why a cleaned name cannot be a label, or None if it can.

    The name of the `column` that it stands in is not a label either.
    """
    if not name:
        return "an empty name is not a label name"
    if is_missing(name):
        return f"{name!r} is a missing value, not a label name"
    if re.fullmatch(r"[+-]?[\d.,٫\s:_/+-]*\d[\d.,٫\s:_/+-]*", name):
        return f"{name!r} is a number, not a label name"
    if column is not None and _SCORED.fullmatch(name):
        return f"{name!r} is a name with a number, not a label name"
    if all(unicodedata.category(character)[0] in "PZ" for character in name):
        return f"{name!r} is punctuation, not a label name"
    if column is not None and name.lower() in LABELS_COLUMNS | {column.lower()}:
        return f"{name!r} is the name of the column, not a label name"
    return None


def near_equal_names(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs that differ only by case, diacritics, punctuation or forms of a letter.

    Forms of alef, ya and ta marbuta count as the same letter.

    Example:
        ```python
        >>> near_equal_names(["joy", "Joy!", "anger"])
        [('joy', 'Joy!')]

        ```
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        groups[_near_key(name)].append(name)
    return [pair for group in groups.values() for pair in itertools.combinations(group, 2)]


def _near_key(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.translate(_LETTERS)).casefold()
    key = "".join(letter for letter in letters if unicodedata.category(letter)[0] in "LNS")
    return key or name


def column_key(name: str) -> str:
    """Return a column name as it is compared: lower case, without a leading `#`."""
    return name.strip().lstrip("#").strip().lower()


def columns_called(columns: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the columns whose key is one of `names`, in the order of the table."""
    wanted = set(names)
    return [column for column in columns if column_key(column) in wanted]


def columns_ending_in(columns: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the columns whose last word is one of `names`, such as `Tweet_text`."""
    wanted = set(names)
    return [name for name in columns if (words := _words(name)) and words[-1] in wanted]


def text_columns(columns: Iterable[str]) -> list[str]:
    """Return the columns that are called text or similar, or end with it, such as `Tweet_text`."""
    columns = list(columns)
    return columns_called(columns, TEXT_COLUMNS) or columns_ending_in(columns, TEXT_COLUMNS)


def looks_like_metadata(column: str) -> bool:
    """Return whether a 0/1 column is rather a property of the row than a label, by its name."""
    return column_key(column) in LABELS_COLUMNS | INDEX_COLUMNS | _COUNTERS or any(
        _STEM.sub("", word) in _METADATA_WORDS or word in _METADATA_WORDS for word in _words(column)
    )


def check_header(
    source: str, header: Sequence[str], rows: Sequence[Sequence[str]], line: int,
    named: Iterable[str] = (), unit: str = "line",
) -> None:  # fmt: skip
    """Refuse a file whose first line is data.

    Args:
        source: The file, for the message.
        header: The cells of its first line.
        rows: Some of the rows after it.
        line: The line of the header, counted in `unit`.
        named: Columns that the user named: one of them in the header proves that it is one.
        unit: What `line` counts.

    Raises:
        DataError: The header looks like data.
    """
    given = {clean_name(name) for name in named}
    for place, cell in enumerate(header):
        below = {row[place].strip() for row in rows if len(row) == len(header)}
        if cell in given and not below & given:
            return
    if columns_called(header, KNOWN_COLUMNS):
        return
    reason = _data_in(header, [row for row in rows if list(row) != list(header)])
    if reason is None:
        return
    example = ["text", "joy", "anger", "fear"][: max(len(header), 1)]
    raise DataError(
        f"{source}: {unit} {line}, the header, looks like data: {reason}. If the file has no "
        f"header, name its {counted(len(header), 'column')} in order, for example --column_names "
        f"{' '.join(example)}{' …' if len(header) > len(example) else ''}. If this is the header, "
        "name one of its columns by --text_column."
    )


def _data_in(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str | None:
    for place, cell in enumerate(header):
        values = [row[place] for row in rows if len(row) == len(header) and row[place].strip()]
        if not cell.strip():
            continue
        if _is_value(cell) and 2 * sum(map(_is_value, values)) >= len(values):
            return f"{shorten(cell)} is a value like those below it"
        if cell[0] in "[({" and cell[-1] in "])}":
            return f"{shorten(cell)} is a list"
        if cell in values:
            return f"{shorten(cell)} is also a value of its column"
        if _is_sentence(cell):
            return f"{shorten(cell)} reads like a text"
    return None


def _is_value(cell: str) -> bool:
    return bool(NUMBERS.fullmatch(cell)) or cell.strip().lower() in _BOOLEAN


def _is_sentence(cell: str) -> bool:
    return (
        len(cell.split()) >= _WORDS_OF_A_SENTENCE
        or len(cell) > _LONG
        or any(unicodedata.category(character) == "So" for character in cell)
        or "http" in cell
    )


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(_CAMEL.sub(" ", name.replace("_", " ")))]
