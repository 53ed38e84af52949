// Writes golden.json: small tokenizers and the ids that Hugging Face tokenizers gives for them.
//
// Run again:  npm install --prefix /tmp/golden tokenizers@0.23.2 &&
//             NODE_PATH=/tmp/golden/node_modules node make_golden.js > golden.json
//
// The vocabularies are learned here from the sample texts without any splitting, so that nearly
// every wrong split changes ids. Some texts have characters of Unicode 15, younger than the tables
// of PCRE2 10.42; only such as the older tables behind the reference's Punctuation and normal forms
// treat alike.
const {Tokenizer} = require('tokenizers');

const texts = [
  '', ' ', '  ', '\n', '\t\n', 'Hello world', ' Hello  world ', "I'LL say it's we've don't 'Re",
  'a1b22c333 4444,55 ½ Ⅷ ² ١٢٣ १२', 'foo_bar CamelCase snake_case __x__',
  'http://x.y/z?a=b&c=1#d !!! ... ,.;: ---- (x) [y] {z}', '\r\n\r\n  \n\n   x\n \t \ty',
  'é e\u0301 Å \u212b ﬁ ß ſ İ I ı ΑΣ Σς ǅ', '日本語 テキスト 한국어 \u1112\u1161\u11ab ไทย العربية हिन्दी',
  'ру́сский Ελληνικά עברית', '🙂 👩‍👩‍👧 🇩🇪 👍🏽 ♥️ 1\u20e3', '\u00a0x\u1680y\u180ez\u2003a\u200bb\u2028c\u3000d\u0085e\ufefff',
  '\u0000a\u0001\u007f\u001c\u001f\u000b\u000c', '▁a ▁▁b Ġ Ċ <0x41> <0x0A>', 'ａｂｃ １２３ ㈱ ª º µ',
  'aaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbb', '"quotes" ’ “x” « » — – … 。 、 ، ؟', '\ue000\ufffd\u{10ffff}\u{1d518}\u{1d52b}',
  'a \u{1FA77}\u{1FAE8}! x\u{1FACE} \u{1FABB}', "\u{1E4D1}'s \u{1E4D0}\u{1E4EB} \u{10EFD}\u0cf3", '\u{11F50}\u{11F51}5 \u{1E4F1}\u{1D2C0} \u{31350}日\u{31351}',
  '\u{11F04}\u{11F00}\u{11F34}x \u{13439}\u{13440}\u{1E08F}', '\u{1DF25}\u{1DF2A} \u{1B132}\u{1F6DC}',
  '<s>x</s> <unk><tool> <tool>y <Tool>A<tool>b z<mask>z <mask> <mask>', 'the <end><end>  the<sep> the \n<sep>',
];

// ---- vocabularies

function byteCharacters() {
  const own = b => (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
  let next = 0x100;
  return Array.from({length: 256}, (_, b) => String.fromCharCode(own(b) ? b : next++));
}
const bytes = byteCharacters();
const byteLevel = text => Array.from(Buffer.from(text, 'utf8'), b => bytes[b]);

// Byte pair encoding by frequency, the first pair on ties.
function learnMerges(sequences, count) {
  const merges = [];
  sequences = sequences.map(s => [...s]);
  while (merges.length < count) {
    const frequency = new Map();
    for (const s of sequences) {
      for (let i = 0; i + 1 < s.length; ++i) {
        const key = JSON.stringify([s[i], s[i + 1]]);
        frequency.set(key, (frequency.get(key) || 0) + 1);
      }
    }
    let best = null;
    for (const [key, n] of frequency) if (best === null || n > frequency.get(best)) best = key;
    if (best === null) break;
    const [left, right] = JSON.parse(best);
    merges.push([left, right]);
    sequences = sequences.map(s => {
      const merged = [];
      for (let i = 0; i < s.length; ++i) {
        if (s[i] === left && s[i + 1] === right) {
          merged.push(left + right);
          ++i;
        } else {
          merged.push(s[i]);
        }
      }
      return merged;
    });
  }
  return merges;
}

function vocabulary(symbols, merges) {
  const vocab = {};
  for (const token of [...symbols, ...merges.map(m => m.join(''))]) {
    if (!(token in vocab)) vocab[token] = Object.keys(vocab).length;
  }
  return vocab;
}

const bpe = {type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null,
             end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false};
const empty = {version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null,
               pre_tokenizer: null, post_processor: null, decoder: null};
const splitOnly = {type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false};
const gpt2 = {...splitOnly, use_regex: true};
const metaspace = {type: 'Sequence', normalizers: [{type: 'Prepend', prepend: '▁'},
                                                   {type: 'Replace', pattern: {String: ' '}, content: '▁'}]};

const byteMerges = learnMerges(texts.map(byteLevel), 330);
const characters = texts.map(t => [...('▁' + t.replaceAll(' ', '▁'))]);
const known = [...new Set(characters.flat())].filter(c => c < '\u0400' || c === '▁' || c === '日');
const pieceMerges = learnMerges(characters.map(s => s.filter(c => known.includes(c))), 120);
const byteTokens = Array.from({length: 256}, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`);

const bases = {
  bytes: {...empty, pre_tokenizer: gpt2, decoder: splitOnly,
          model: {...bpe, vocab: vocabulary(bytes, byteMerges), merges: byteMerges.map(m => m.join(' '))}},
  pieces: {...empty, normalizer: metaspace,
           decoder: {type: 'Sequence', decoders: [{type: 'Replace', pattern: {String: '▁'}, content: ' '},
                                                  {type: 'ByteFallback'}, {type: 'Fuse'},
                                                  {type: 'Strip', content: ' ', start: 1, stop: 0}]},
           model: {...bpe, unk_token: '<unk>', fuse_unk: true, byte_fallback: true,
                   vocab: vocabulary(['<unk>', '<s>', '</s>', ...byteTokens, ...known], pieceMerges),
                   merges: pieceMerges}},
};

// ---- variants: overrides of top-level fields; `model` overrides fields of the model

const sequence = (...parts) => ({type: 'Sequence', pretokenizers: parts});
const split = (pattern, behavior = 'Isolated', invert = false) =>
    sequence({type: 'Split', pattern: {Regex: pattern}, behavior, invert}, splitOnly);
const behaviors = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'];
function added(base, ...tokens) {
  const vocab = bases[base].model.vocab;
  let next = Object.keys(vocab).length;
  return tokens.map(token => ({id: token.content in vocab ? vocab[token.content] : next++,
                               single_word: false, lstrip: false, rstrip: false, normalized: false, special: false,
                               ...token}));
}
const tokensOf = (base, flags) => added(base, {content: '<tool>', ...flags}, {content: '<mask>', ...flags, single_word: true},
    {content: '<end>', special: true}, {content: '<sep>', lstrip: true}, {content: 'the', normalized: true});

const variants = [];
const add = (name, base, overrides) => variants.push({name, base, overrides});
add('gpt2', 'bytes', {});
add('llama3', 'bytes', {pre_tokenizer: split("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"), model: {ignore_merges: true}});
add('qwen2', 'bytes', {normalizer: {type: 'NFC'}, pre_tokenizer: split("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")});
add('o200k', 'bytes', {pre_tokenizer: split("[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")});
add('nested set', 'bytes', {pre_tokenizer: split(' ?[^(\\s|[.,!?…。，、।۔،])]+')});
add('starcoder', 'bytes', {pre_tokenizer: sequence({type: 'Digits', individual_digits: true}, gpt2)});
add('digits', 'bytes', {pre_tokenizer: sequence({type: 'Digits', individual_digits: false}, splitOnly)});
add('prefix space', 'bytes', {pre_tokenizer: {...gpt2, add_prefix_space: true}});
add('whitespace', 'bytes', {pre_tokenizer: sequence({type: 'Whitespace'}, splitOnly)});
add('whitespace split', 'bytes', {pre_tokenizer: sequence({type: 'WhitespaceSplit'}, splitOnly)});
add('word boundary', 'bytes', {pre_tokenizer: split('\\b\\w+\\b')});
add('lines', 'bytes', {pre_tokenizer: split('^.|.$|\\h+')});
add('scripts', 'bytes', {pre_tokenizer: split('\\p{Han}+|\\p{Greek}+|\\p{Cyrillic}+|[\\p{Hiragana}\\p{Katakana}]+|\\u0041')});
add('look around', 'bytes', {pre_tokenizer: split('(?<=\\p{L})(?=\\p{N})|(?<=\\p{N})(?=\\p{L})')});
add('empty matches', 'bytes', {pre_tokenizer: split('x*')});
for (const behavior of behaviors) {
  add('split ' + behavior, 'bytes', {pre_tokenizer: split('\\s', behavior)});
  add('inverted ' + behavior, 'bytes', {pre_tokenizer: split('\\w+', behavior, true)});
  add('punctuation ' + behavior, 'bytes', {pre_tokenizer: sequence({type: 'Punctuation', behavior}, splitOnly)});
}
for (const type of ['NFD', 'NFKC', 'NFKD', 'Lowercase']) add(type, 'bytes', {normalizer: {type}});
add('strip', 'bytes', {normalizer: {type: 'Strip', strip_left: true, strip_right: true}});
add('replace regex', 'bytes', {normalizer: {type: 'Replace', pattern: {Regex: '\\s+'}, content: ' '}});
add('byte-level normalizer', 'bytes', {normalizer: {type: 'ByteLevel'}, pre_tokenizer: null});
add('end of word', 'bytes', {model: {end_of_word_suffix: 'e', unk_token: '!'}});
add('continuing prefix', 'bytes', {model: {continuing_subword_prefix: 'a', merges: [], unk_token: '!'}});
add('byte fallback', 'pieces', {});
add('unknown fused', 'pieces', {model: {byte_fallback: false}});
add('unknown not fused', 'pieces', {model: {byte_fallback: false, fuse_unk: false}});
add('unknown dropped', 'pieces', {model: {byte_fallback: false, unk_token: null}});
for (const prepend_scheme of ['always', 'first', 'never']) {
  for (const all of [true, false]) {
    const part = {type: 'Metaspace', replacement: '▁', prepend_scheme, split: all};
    add(`metaspace ${prepend_scheme} ${all}`, 'pieces', {normalizer: null, pre_tokenizer: part, decoder: part,
                                                         added_tokens: added('pieces', {content: '<tool>'})});
  }
}
add('added', 'bytes', {added_tokens: tokensOf('bytes', {})});
add('added special', 'pieces', {added_tokens: tokensOf('pieces', {special: true})});
add('added lstrip', 'bytes', {added_tokens: tokensOf('bytes', {lstrip: true})});
add('added rstrip', 'bytes', {added_tokens: tokensOf('bytes', {rstrip: true})});
add('added lowercase', 'bytes', {normalizer: {type: 'Lowercase'}, added_tokens: tokensOf('bytes', {normalized: true, rstrip: true})});
add('added normalized', 'pieces', {added_tokens: tokensOf('pieces', {normalized: true})});
add('template', 'pieces', {added_tokens: added('pieces', {content: '<s>', special: true}, {content: '</s>', special: true}), post_processor: {type: 'TemplateProcessing',
  single: [{SpecialToken: {id: '<s>', type_id: 0}}, {Sequence: {id: 'A', type_id: 0}}, {SpecialToken: {id: '</s>', type_id: 0}}],
  pair: [{Sequence: {id: 'A', type_id: 0}}, {Sequence: {id: 'B', type_id: 1}}],
  special_tokens: {'<s>': {id: '<s>', ids: [1], tokens: ['<s>']}, '</s>': {id: '</s>', ids: [2], tokens: ['</s>']}}}});

function build({base, overrides}) {
  return {...bases[base], ...overrides, model: {...bases[base].model, ...overrides.model}};
}

(async () => {
  for (const variant of variants) {
    const tokenizer = Tokenizer.fromString(JSON.stringify(build(variant)));
    variant.ids = [];
    variant.decoded = [];
    for (const text of texts) {
      const ids = Array.from((await tokenizer.encode(text, null, {addSpecialTokens: true})).getIds());
      variant.ids.push(ids);
      const decoded = await tokenizer.decode(ids, false);
      variant.decoded.push(decoded === text ? null : decoded);  // null = the text itself
    }
    // This release decodes a normalized added token to its normalized form; others to its content.
    if ((variant.overrides.added_tokens || []).some(t => t.normalized)) delete variant.decoded;
  }
  const lines = variants.map(v => JSON.stringify(v)).join(',\n');
  process.stdout.write(`{"texts": ${JSON.stringify(texts)},\n"bases": ${JSON.stringify(bases)},\n"variants": [\n${lines}\n]}\n`);
})();
