"""Renders chat templates with Jinja2 for d2c: one JSON document a line in, one a line out.

The first line is empty, the second sets the templates up, every other one renders one conversation.
Templates are programs that somebody else wrote: they run in Jinja2's immutable sandbox, in a process
that can open no file, start no process and use only so much memory, processor time and output.

The environment is the one that Hugging Face transformers makes (utils/chat_template_utils.py).
"""
import codecs
import datetime
import html  # noqa: F401  what Jinja2 first imports when it is used would be too late: no file opens
import json
import os
import pprint  # noqa: F401
import resource
import sys
import textwrap  # noqa: F401
import time

os.closerange(3, 1 << 16)
for codec in ("ascii", "latin-1", "unicode-escape"):
    codecs.lookup(codec)

try:
    import jinja2
    import jinja2.debug  # noqa: F401
    import jinja2.ext
    import jinja2.nodes
    import jinja2.sandbox
    if tuple(int(part) for part in jinja2.__version__.split(".")[:2]) < (3, 1):
        raise ImportError
except ImportError:
    print(json.dumps({"missing": True}), flush=True)
    sys.exit()


class Refusal(Exception):
    """What d2c itself does not let a template do; its text is the message."""


class Generation(jinja2.ext.Extension):
    """{% generation %} ... {% endgeneration %}: marks what is trained on; the text is its body's."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_body")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.TemplateError(message)


def refuse_chance(*_arguments, **_options):
    raise Refusal("the template asks for random text")


def make_environment(date):
    def strftime_now(form):
        if date is None:
            raise Refusal("the template asks for today's date (strftime_now)")
        return date.strftime(form)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters.update(tojson=to_json, random=refuse_chance)
    environment.globals.update(raise_exception=raise_exception, strftime_now=strftime_now,
                               lipsum=refuse_chance)
    return environment


def variables_of(row, tokens):
    """The special tokens and what the row has beside its messages; a null is as if left out."""
    row = {name: value for name, value in row.items() if value is not None}
    variables = {"tools": None, "documents": None, **tokens, **row}
    if isinstance(row.get("chat_template_kwargs"), dict):
        variables.update(row["chat_template_kwargs"])
    if isinstance(variables["tools"], str):  # a table's column of JSON texts
        variables["tools"] = json.loads(variables["tools"])
    for field in ("tools", "documents"):
        value = variables[field]
        if value is not None and not (isinstance(value, list)
                                      and all(isinstance(item, dict) for item in value)):
            raise Refusal(f"{field} is not a list of objects")
    return variables


def render(templates, tokens, request, max_characters):
    row = request["row"]
    variables = variables_of(row, tokens)
    messages = row["messages"]
    variables["messages"] = messages[:-1] if request["without_answer"] else messages
    variables["add_generation_prompt"] = request["add_generation_prompt"]
    name = "tool_use" if variables["tools"] is not None and "tool_use" in templates else "default"
    if name not in templates:
        raise Refusal("there is no template named 'default'")
    parts, size = [], 0
    for part in templates[name].generate(variables):
        parts.append(part)
        size += len(part)
        if size > max_characters:
            raise Refusal(f"the text is longer than {max_characters} characters")
    text = "".join(parts)
    text.encode()  # half a surrogate pair is no text
    return text


def describe(error):
    """What went wrong in one line, and the template's line where that is known."""
    text = " ".join(str(error).split())[:500]
    if isinstance(error, MemoryError):
        text = "it needs too much memory"
    elif isinstance(error, RecursionError):
        text = "it nests or calls itself too deeply"
    elif isinstance(error, UnicodeError):
        text = "it makes half of a surrogate pair, which is no text"
    elif isinstance(error, KeyError):
        text = f"there is no {text}"
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while line is None and trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return {"error": text, "line": line, "date": "strftime_now" in text}


def within(kind, value):
    """The value, or what the system allows where that is less."""
    hard = resource.getrlimit(kind)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def limit(memory_bytes):
    for kind, value in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_NOFILE, 3),
                        (resource.RLIMIT_NPROC, 0), (resource.RLIMIT_FSIZE, 0),
                        (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(kind, 2 * (within(kind, value),))


def limit_time(seconds):
    """The processor time from now on; d2c watches the clock, but it may have been killed."""
    kind = resource.RLIMIT_CPU
    soft = within(kind, int(time.process_time() + seconds) + 2)
    resource.setrlimit(kind, (soft, resource.getrlimit(kind)[1]))


def reply(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main():
    sys.stdin.buffer.readline()  # asks whether Jinja2 is there
    reply({"version": jinja2.__version__})
    setup = json.loads(sys.stdin.buffer.readline())
    date = setup["date"] and datetime.datetime.fromisoformat(setup["date"])
    limit(setup["memory_bytes"])
    limit_time(setup["seconds"])
    try:
        environment = make_environment(date)
        templates = {name: environment.from_string(text)
                     for name, text in setup["templates"].items()}
        reply({"ready": True})
    except Exception as error:  # whatever a template can make Jinja2 raise
        reply(describe(error))
        return
    for line in sys.stdin.buffer:
        limit_time(setup["seconds"])
        try:
            reply({"text": render(templates, setup["tokens"], json.loads(line),
                                  setup["max_characters"])})
        except Exception as error:
            reply(describe(error))


main()
