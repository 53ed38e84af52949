"""Writes chat_golden.json: templates and what Jinja2 3.1 renders for them, in the environment that
Hugging Face transformers makes.

Run again (Debian: python3-jinja2):  /usr/bin/python3 make_chat_golden.py > chat_golden.json
"""

import json
import sys

from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.nodes import CallBlock
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """Marks what is trained on; the text is the same without it."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return CallBlock(self.call_method("same"), [], [], body).set_lineno(line)

    def same(self, caller):
        return caller()


def raise_exception(message):
    raise TemplateError(message)


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


ENVIRONMENT = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])
ENVIRONMENT.filters["tojson"] = to_json
ENVIRONMENT.globals["raise_exception"] = raise_exception

# The styles of published templates, written for this test.
MARKED_TURNS = """{%- if messages[0].role == 'system' -%}
    {%- set rest = messages[1:] -%}
    {{- '<|turn|>system\\n' + messages[0].content + '<|end|>\\n' -}}
{%- else -%}
    {%- set rest = messages -%}
    {{- '<|turn|>system\\nBe helpful.<|end|>\\n' -}}
{%- endif -%}
{%- for message in rest -%}
    {{- '<|turn|>' + message.role + '\\n' + message.content | trim + '<|end|>' + '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|turn|>assistant\\n' -}}
{%- endif -%}
"""
BRACKETS = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<S>>\\n' + system_message + '\\n<</S>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[I] ' + content.strip() + ' [/I]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)
THINKING = """{{ bos_token }}
{%- set ns = namespace(last=-1, seen=false) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if not ns.seen and message.role == "user" and not(message.content.startswith('<r>') and message.content.endswith('</r>')) %}
        {%- set ns.seen = true %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- set thought = '' %}
    {%- if message.role == "assistant" and '</t>' in content %}
        {%- set thought = content.split('</t>')[0].rstrip('\\n').split('<t>')[-1].lstrip('\\n') %}
        {%- set content = content.split('</t>')[-1].lstrip('\\n') %}
    {%- endif %}
    {#- Only the last thought is kept. #}
    {%- if loop.index0 > ns.last and thought %}
        {{- '<|' ~ message.role ~ '|>' ~ '<t>' ~ thought.strip('\\n') ~ '</t>' ~ content }}
    {%- else %}
        {{- '<|' ~ message.role ~ '|>' ~ content }}
    {%- endif %}
    {%- if message.tool_calls is defined and message.tool_calls is not none %}
        {%- for call in message.tool_calls %}
            {{- '\\n' + (call.function | tojson) }}
        {%- endfor %}
    {%- endif %}
    {{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>' }}
{%- endif %}
"""

EXPRESSIONS = [
    "1 + 2 * 3 - 4 // 3 % 2", "-7 // 2 ~ ',' ~ -7 % 3", "7 / 2", "(1, 2) + (3,)|list | length",
    "'a' ~ 1 ~ none ~ true", "'a' 'b' + \"c\\n\\t\\'\\u00e9\"", "not 1 == 2 and 3 > 2 >= 2",
    "1 in [1, 2] and 'x' not in 'abc' and 'role' in messages[0]", "'yes' if '' else 'no'",
    "('only' if false) is defined", "messages[-1].content[1:-1] ~ messages[0]['content'][::-1]",
    "messages[7] is defined", "nothing", "nothing is undefined and not nothing", "nothing == other",
    "[1, 2, 3][:2] | join('+')", "[3, 4][0:9:2] | last", "{'a': {'b': 'c'}}.a.b", "{'a': {'b': 1}}|tojson",
    "{'z': [1, 'é', none, true, 1.5], 'a': {}} | tojson", "{'z': [1, {}], 'a': []} | tojson(indent=2)",
    "'\"\\\\\\n' | tojson", "'  x y '.strip() ~ '|' ~ ' x'.lstrip() ~ '|' ~ 'xxyxx'.strip('x')",
    "'a,b,c'.split(',', 1) | join(';')", "'aXbX'.replace('X', '') | upper", "'ÄÖ'.lower() ~ 'hELLO' | capitalize",
    "messages | map(attribute='role') | join(',')", "messages | selectattr('role', 'equalto', 'user') | list | length",
    "messages | rejectattr('role', '==', 'user') | map(attribute='content') | first",
    "[1, 2, 3, 4] | select('odd') | join ~ ([0, 1] | reject | list | length)", "range(2, 8, 3) | list | tojson",
    "nothing | default('d') ~ '' | default('e', true) ~ '' | d('f')", "'' | trim | length", "'日本' | length ~ '日本'[1]",
    "{'a': 1}.items() | list | tojson", "{'a': 1, 'b': 2} | items | map('last') | join('-')", "{'a': 1}.get('b', 2)",
    "'abc' is string and [] is iterable and {} is mapping and 1 is number and 2 is even and none is none",
    "true is true and 1 is not string and 'a' is in ['a'] and 3 is odd and 'x' is eq 'x'", "1 < 'a'", "nothing.x", "'a' + 1",
    "raise_exception('no')", "'%' in '%}' ~ '}}'", "- 3 + 5", "not not true", "1 if 0 else 2 if 0 else 3", "1.5 > 1",
    "messages|length - 1", "'a' if messages[0].content is not none and messages[0].role == 'user' else 'b'",
]
BLOCKS = [
    "  {% if true %}\n  x\n  {% endif %}\ny\n", "a {%- if true -%} \n b \n {%- endif %} c", "a\n  {%+ if true +%}\n  b{% endif %}\n",
    "x {# comment #}\n  {#- other -#}  y", "{% for i in [1, 2, 3] %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.revindex0 }} {% endfor %}",
    "{% for i in [1, 2, 3, 4] if i is even %}{{ loop.length }}{{ i }}{% else %}none{% endfor %}", "{% for i in [] %}{{ i }}{% else %}none{% endfor %}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}", "{% for c in 'aé' %}[{{ c }}]{% endfor %}",
    "{% for i in [1, 2] %}{% for j in [3, 4] %}{{ loop.index }}{{ j }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for i in 'ab' %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }}{% endfor %}",
    "{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}", "{% set n = namespace() %}{% set n.a = 1 %}{% for i in [1] %}{% set n.a = n.a + i %}{% endfor %}{{ n.a }}",
    "{% if 0 %}a{% elif '' %}b{% elif [] %}c{% else %}d{% endif %}", "{% set x %}a{{ 1 }}\n{% endset %}[{{ x }}]", "{% if true %}{% set y = 3 %}{% endif %}{{ y }}",
    "{{ '{{ x }}' }}{% if '%}' %}ok{% endif %}\n\n", "{\n{{ 1 }}\n}\n", "a\r\nb{% if true %}\r\n{% endif %}c", "{% set m = messages[1:] %}{{ m | length }}", "\t {{ 1 }} {%- set a = 1 %} \n x",
]
TOOLS = """{%- macro kind(schema) -%}
    {%- if schema.type == 'array' -%}list[{{ kind(schema['items']) }}]{%- else -%}{{ schema.type | default('any') }}{%- endif -%}
{%- endmacro -%}
{%- if tools %}
    {{- '<tools>\\n' }}
    {%- for tool in tools %}
        {%- set f = tool.function if tool.function is defined else tool %}
        {{- f.name ~ '(' }}
        {%- for name, schema in (f.parameters.properties | default({})).items() %}
            {{- name ~ ': ' ~ kind(schema) ~ (', ' if not loop.last) }}
        {%- endfor %}
        {{- ')\\n' ~ (tool | tojson) ~ '\\n' ~ (tool | tojson(indent=4)) ~ '\\n' }}
    {%- endfor %}
    {{- '</tools>\\n' }}
{%- endif %}
{%- for m in messages %}
    {%- if m.role == 'system' %}{% continue %}{% endif %}
    {%- if m.role == 'stop' %}{% break %}{% endif %}
    {{- '<' ~ m.role ~ '>' }}
    {%- if m.role == 'assistant' %}{% generation %}{{ m.content or '' }}{% endgeneration %}{% else %}{{ m.content or '' }}{% endif %}
    {%- for call in m.tool_calls or [] %}
        {{- '\\n' ~ call.function.name ~ (call.function.arguments | tojson(separators=(',', ':'))) ~ (call.function.arguments | tojson(sort_keys=true, ensure_ascii=true)) }}
    {%- endfor %}
    {{- eos_token }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<assistant>' ~ ('' if enable_thinking | default(true) else '<think></think>') }}{% endif %}
"""
LATER = [
    "{{ messages | tojson(indent=3000) | length }}", "{{ -7 // 2 }}{{ 2 ** 100 }}{{ 9223372036854775807 + 1 }}{{ 1e16 }}{{ 0.1 + 0.2 }}{{ 7 // 2.0 }}",
    "{% call(x) f() %}{{ x }}{% endcall %}", "{% macro f(a, b=2) %}{{ a }}{{ b }}{{ caller(1) if caller }}{% endmacro %}{{ f(1) }}{% call(x) f(3, b=4) %}<{{ x }}>{% endcall %}",
    "{% filter upper %}a{{ 'b' }}{% endfilter %}{% with x = 1 %}{{ x }}{% endwith %}{{ x is defined }}{% raw %}{{ x }}{% endraw %}",
    "{{ 'a-b'.partition('-') }}{{ 'abc'.zfill(5) }}{{ 'x'.center(3, '*') }}{{ 'aXb'.swapcase() }}{{ 'a\\nb'.splitlines() }}{{ 'ab'.isalpha() }}",
    "{{ [3, 1, 2] | sort(reverse=true) | join(',') }}{{ [1, 2, 3] | sum }}{{ [1, 2, 3] | batch(2) | list }}{{ 'a b c' | wordcount }}{{ '<' | e }}{{ 'x' | indent }}",
    "{{ messages | groupby('role') | map('first') | list }}{{ {'b': 1, 'a': 2} | dictsort }}{{ 'abc' | reverse }}{{ 3.7 | int }}{{ '3.5' | float }}{{ 2.5 | round }}",
    "{% for i in range(3) recursive %}{{ loop.depth }}{% endfor %}{% for c in 'aab' %}{% if loop.changed(c) %}{{ c }}{% endif %}{{ loop.cycle('x', 'y') }}{% endfor %}",
    "{{ '%05.2f|%s' | format(3.14159, 'é') }}{{ 'é' | urlencode }}{{ 'hello world' | title }}{{ 'abcdef' | truncate(5) }}{{ 'x' ~ loop is defined }}",
    "{{ messages[0].content.encode('utf-8') }}{{ 'İ' | lower | length }}{{ 'ß'.upper() }}{{ 'ǆ'.title() }}{{ '\\u00e9' }}",
    "{{ {'a': 1.0, 'b': 1e15, 'c': 1e16, 'd': 0.00001, 'e': -0.0, 'f': 12345678901234567890123} | tojson }}",
    "{% set ns = namespace(x=[]) %}{% set ns.x = ns.x + [1] %}{{ ns.x }}{{ cycler('a', 'b').next() }}{{ dict(a=1) }}{% set j = joiner(',') %}{{ j() }}{{ j() }}",
    "{{ messages.append(1) }}", "{{ ''.__class__ }}", "{{ messages.__len__() }}", "{% for i in range(100001) %}{% endfor %}", "{{ tools }}|{{ documents }}|{{ lang | default('none') }}",
]
TEMPLATES = [MARKED_TURNS, BRACKETS, THINKING] + ["{{ " + e + " }}" for e in EXPRESSIONS] + BLOCKS + [TOOLS] + LATER


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


ROWS = [{"messages": messages} for messages in [
    turns(("user", " Hi "), ("assistant", "Hello\n")),
    turns(("system", "Be brief."), ("user", "日本?"), ("assistant", "<t>\nhm\n</t>\n\nYes"), ("user", "<r>x</r>"), ("assistant", "<t>\nso\n</t>\n\nOk é")),
    turns(("user", "a"), ("user", "b"))[:1] + [{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}],
]] + [{
    "messages": turns(("system", "s"), ("user", "Wie spät?")) + [
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {
            "name": "zeit", "arguments": {"to": "Köln", "from": ["<&>", 1.0, 1e16, None, True], "count": {}}}}]},
        {"role": "tool", "content": "12"}, {"role": "assistant", "content": "12 Uhr 🕛"}],
    "tools": [{"type": "function", "function": {"name": "zeit", "description": "Uhrzeit für \"eine\" Stadt", "parameters": {
        "type": "object", "properties": {"to": {"type": "string"}, "from": {"type": "array", "items": {"type": "array", "items": {}}}}, "required": ["to"]}}}],
    "documents": [{"title": "t", "text": "x"}], "enable_thinking": False, "lang": "de",
}]


def rendered(template, row, add_generation_prompt):
    try:
        return ENVIRONMENT.from_string(template).render(
            {"tools": None, "documents": None, "bos_token": "<s>", "eos_token": "</s>", **row,
             "add_generation_prompt": add_generation_prompt})
    except (TemplateError, TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None


cases = [{"template": t, "rendered": [rendered(t, r, g) for r in ROWS for g in (False, True)]}
         for t in TEMPLATES]
json.dump({"rows": ROWS, "cases": cases}, sys.stdout, ensure_ascii=False, indent=0)
print()
