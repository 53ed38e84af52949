"""How messages and tables show text that comes from files: on one line, and not without end."""
import re

# Controls, separators of lines, marks and overrides of direction, and what is not seen at all.
HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
                    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]")
SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escaped(found):
    code = ord(found[0])
    return SHORT.get(found[0]) or (f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}")


def readable(text, most=600):
    """At most about `most` characters of it, with escapes for what a terminal or reader would obey."""
    text = str(text)
    if len(text) > most:
        text = f"{text[:most * 2 // 3]} ... {text[-most // 3:]}"
    return HIDDEN.sub(_escaped, text)
