"""What the report says in its own words, in English and in Chinese. A phrase has the same places in both."""

from __future__ import annotations

from collections.abc import Callable

from myna.evaluation.curve_phrases import CURVE
from myna.evaluation.names import NAMES

# Each phrase: English, Chinese.
PHRASES: dict[str, tuple[str, str]] = {
    **NAMES,
    "report": ("Report of a training run", "训练报告"),
    "lede": (
        "Myna read {characters} characters in {documents} documents and made {models} in {time}.",
        "Myna 读了 {documents} 篇文档、{characters} 个字符，用 {time} 训练出{models}。",
    ),
    "one_model": ("one model", "一个模型"),
    "models": ("{count} models", " {count} 个模型"),
    "unseen": (
        "All figures are from text that no model was trained on; lines show 95\u202f% intervals.",
        "成绩都来自模型没有见过的文本；横线是 95\u202f% 置信区间。",
    ),
    "nothing": ("Nothing has been evaluated yet.", "还没有评测结果。"),
    "contents": ("Contents", "目录"),
    "glance.model": ("Model", "模型"),
    "glance.here": ("Score", "成绩"),
    "glance.simple": ("Best simple method", "最好的简单方法"),
    "training": ("Training", "训练"),
    "does.classification": (
        "tells {labels} apart: {value} of {examples} unseen texts are right.",
        "区分{labels}：{examples} 篇没见过的文本中答对 {value}。",
    ),
    "does.tagging": (
        "finds {labels} in text: entity F1 {value} on {examples} unseen sentences.",
        "在文本里找出{labels}：在 {examples} 个没见过的句子上，实体 F1 为 {value}。",
    ),
    "does.multilabel": (
        "says which of {labels} a text has: micro F1 {value} on {examples} unseen texts.",
        "判断一篇文本有{labels}中的哪些：在 {examples} 篇没见过的文本上，微平均 F1 为 {value}。",
    ),
    "does.regression": (
        "says a number for a text: it tells {value} of the variance (R²) of {examples} unseen texts.",
        "为文本给出一个数：在 {examples} 篇没见过的文本上，解释方差的 {value}（R²）。",
    ),
    "does.words": (
        "gives each word a tag: {value} on {examples} unseen sentences.",
        "给每个词一个标记：在 {examples} 个没见过的句子上，成绩为 {value}。",
    ),
    "does.segmentation": (
        "cuts text into words: F1 of words {value} on {examples} unseen texts.",
        "把文本切分成词：在 {examples} 篇没见过的文本上，词的 F1 为 {value}。",
    ),
    "does.questions": (
        "finds the answer to a question in a text: F1 {value} on {examples} unseen questions.",
        "在文本中找出问题的答案：在 {examples} 个没见过的问题上，F1 为 {value}。",
    ),
    "does.embeddings": (
        "finds the text that belongs to another: mean reciprocal rank {value} on {examples} unseen pairs.",
        "为一段文本找到与它对应的文本：在 {examples} 对没见过的文本上，平均倒数排名为 {value}。",
    ),
    "does.causal": (
        "writes on from a beginning: it needs {value} for each character of unseen text.",
        "接着开头往下写：没见过的文本，平均每个字符需要 {value}。",
    ),
    "does.masked": (
        "fills in hidden words: as unsure as a choice among {value} equally likely pieces.",
        "填出被遮住的词：相当于在 {value} 个同样可能的词片里选一个。",
    ),
    "does.summarization": (
        "writes the short form of a text: {metric} {value} on {examples} unseen texts.",
        "写出文本的摘要：在 {examples} 篇没见过的文本上，{metric} 为 {value}。",
    ),
    "does.extraction": (
        "picks the sentences that make a text's summary: {metric} {value} on {examples} unseen texts.",
        "挑出组成摘要的句子：在 {examples} 篇没见过的文本上，{metric} 为 {value}。",
    ),
    "does.translation": (
        "translates: {metric} {value} on {examples} unseen texts.",
        "翻译：在 {examples} 段没见过的文本上，{metric} 为 {value}。",
    ),
    "does.generation": (
        "writes texts of this kind: it needs {value} for each character of {examples} unseen texts.",
        "写这一类文本：在 {examples} 篇没见过的文本上，平均每个字符需要 {value}。",
    ),
    "does.instructions": (
        "answers what it is asked: {metric} {value} on {examples} unseen conversations.",
        "回答问题：在 {examples} 段没见过的对话上，{metric} 为 {value}。",
    ),
    "does.written": (
        "writes texts: {metric} {value} on {examples} unseen ones.",
        "写文本：在 {examples} 篇没见过的文本上，{metric} 为 {value}。",
    ),
    "does.other": ("{metric} {value}.", "{metric}：{value}。"),
    "wins": (
        "Better by {difference} (95\u202f%: {low} to {high}) than the best simple method, {baseline} ({value}).",
        "比最好的简单方法（{baseline}，{value}）好 {difference}（95\u202f% 区间 {low} 到 {high}）。",
    ),
    "loses": (
        "A simple method does better, by {difference} (95\u202f%: {low} to {high}): {baseline}, {value}.",
        "简单方法更好：{baseline}，{value}，好 {difference}（95\u202f% 区间 {low} 到 {high}）。",
    ),
    "open": (
        "No sure difference from the best simple method, {baseline} ({value}): the gap can be chance.",
        "和最好的简单方法（{baseline}，{value}）没有确定的差别：差距可能只是偶然。",
    ),
    "chance": (
        " Were both alike, a gap as large would come in {share} of draws (permutation test).",
        "若两者一样好，出现这么大差距的机会是 {share}（置换检验）。",
    ),
    "below": ("less than {value}", "不到 {value}"),
    "alone": ("There is no simple method to compare with.", "没有可以对比的简单方法。"),
    "verdict.wins": ("better", "更好"),
    "verdict.loses": ("worse", "更差"),
    "verdict.open": ("no sure difference", "不分高下"),
    "verdict.alone": ("no comparison", "没有对比"),
    "contaminated": (
        "{contaminated} of {examples} test texts ({share}\u202f%): half or more of each was read in pre-training.",
        "{examples} 条测试文本中有 {contaminated} 条（{share}\u202f%）一半以上的内容出现在模型预训练读过的文本里。",
    ),
    "clean": (
        "Of none of the {examples} test texts half was read in pre-training ({corpus_characters} characters).",
        "{examples} 条测试文本中，没有一条有一半出现在预训练读过的 {corpus_characters} 个字符里。",
    ),
    "without": (" Without them: {metric} {value}.", "去掉它们：{metric} {value}。"),
    "too_short": (" {too_short} are too short to tell.", "另有 {too_short} 条太短，无法判断。"),
    "this_model": ("this model", "本模型"),
    "points": ("{value} points", "{value} 个百分点"),
    "hundredths": ("{value} points", "{value} 分"),
    "bits": ("{value} bits", "{value} 比特"),
    "lower": ("lower is better", "越低越好"),
    "higher": ("higher is better", "越高越好"),
    "learned_from": ("{method}, from {count} sentences", "{method}，学自 {count} 句"),
    "method": ("Method", "方法"),
    "value": ("Value", "成绩"),
    "interval": ("95\u202f% interval", "95\u202f% 区间"),
    "examples": ("{count} examples", "{count} 个样例"),
    "seeds": ("{count} seeds: mean {mean}, {low} – {high}", "{count} 个随机种子：均值 {mean}，{low} – {high}"),
    "facts": (
        "{parameters} parameters · {tokens} tokens · {steps} steps · {time}",
        "{parameters} 个参数 · {tokens} 个词片 · {steps} 步 · {time}",
    ),
    "loss": ("Loss, nats", "损失（奈特）"),
    "tokens_seen": ("tokens seen", "读过的词片"),
    "curve": (
        "Training loss (fine line: as logged; bold: smoothed) and, as dots, the validation loss.",
        "训练损失（细线：原始记录；粗线：平滑后）；圆点是验证集上的损失。",
    ),
    "curve_alone": (
        "Training loss: the fine line as logged, the bold one smoothed.",
        "训练损失：细线是原始记录，粗线经过平滑。",
    ),
    **CURVE,
    "score_curve": ("On the validation split. The best was kept.", "验证集上的成绩，保留最好的一次。"),
    "by_label": ("By label", "各类成绩"),
    "label": ("Label", "标签"),
    "precision": ("Precision", "精确率"),
    "recall": ("Recall", "召回率"),
    "f1": ("F1", "F1"),
    "count": ("Count", "数量"),
    "confusion": ("What was taken for what", "混淆矩阵"),
    "confusion_caption": (
        "Rows: the label by hand; columns: what the model said. The shade is the share of the row.",
        "行：人工标签；列：模型的回答。颜色深浅是占该行的比例。",
    ),
    "by_hand": ("by hand", "人工"),
    "by_model": ("by the model", "模型"),
    "reliability": ("How sure it is, and how right", "把握与正确率"),
    "share_right": ("Right", "答对"),
    "probability_said": ("probability that was said", "说出的概率"),
    "calibration_plot": (
        "Dots: answers by how probable they were called, in groups of equal size; on the line all is as was said.",
        "圆点：按说出的概率把回答等量分组；落在直线上即名副其实。",
    ),
    "calibration": (
        "Calibration error (ECE) {ece_after}, Brier's score {brier_after}.",
        "校准误差（ECE）{ece_after}，Brier 分数 {brier_after}。",
    ),
    "tempered": (
        "Before the temperature of {temperature}, from the validation split (fine line): {ece_before}, {brier_before}.",
        "在用验证集求出的温度 {temperature} 之前（细线）：{ece_before}，{brier_before}。",
    ),
    "abstaining": ("Answering only where it is sure", "没有把握就不回答"),
    "abstaining_caption": (
        "The threshold for a precision is from the validation split (predict --precision); what became of it here.",
        "每个精确率的阈值来自验证集（predict --precision）；下面是在测试集上的结果。",
    ),
    "asked_precision": ("Asked for", "要求"),
    "reached_precision": ("Precision here", "实际精确率"),
    "coverage": ("Answered", "回答的比例"),
    "threshold": ("From probability", "概率阈值"),
    "not_reached": ("not reached on the validation split", "在验证集上达不到"),
    "slices": ("On parts of the test texts", "分组成绩"),
    "slice": ("Part", "分组"),
    "slice.length": ("characters", "字符数"),
    "slice.source": ("source", "来源"),
    "slice.group": ("group", "组"),
    "mistakes": ("Mistakes worth reading", "值得一读的错误"),
    "surest": (
        "Of {wrong} wrong answers, those that the model was surest of. Some are slips of the labels.",
        "{wrong} 个错误回答里模型最有把握的几个；其中有些是标签本身有误。",
    ),
    "said": ("{share} sure of {predicted}, marked {expected}", "{share} 把握认为是“{predicted}”，标注是“{expected}”"),
    "entity_mistakes": (
        "Of {wrong} sentences with a wrong or a missed span, some that the model was surest of.",
        "{wrong} 个句子里有错标或漏标，下面是模型最有把握的几句。",
    ),
    "texts": ("What it writes, good and bad", "它写的文字：好的和差的"),
    "texts_caption": (
        "The texts with the best and with the worst ROUGE-L among {count}.",
        "{count} 篇中 ROUGE-L 最高和最低的几篇。",
    ),
    "texts_plain": ("The first of {count} texts.", "{count} 篇中的前几篇。"),
    "best": ("Best", "最好的"),
    "worst": ("Worst", "最差的"),
    "read": ("read", "原文"),
    "by_themselves": ("The texts by themselves", "文本自身的特征"),
    "by_themselves_caption": (
        "Words and pairs of words that differ, runs of four words said before, characters in the longest copy.",
        "不同的词和双词、已出现过的四词片段、最长相同片段中的字符各占的比例。",
    ),
    "figure": ("Figure", "项目"),
    "copies": ("Longest copies from training", "与训练文本最长的相同片段"),
    "signatures": ("Counted by sacrebleu: {signatures}", "由 sacrebleu 计算：{signatures}"),
    "missed": ("missed", "漏掉"),
    "wrong": ("wrong", "错标"),
    "cut": ("… {count} more characters", "……还有 {count} 个字符"),
    "samples": ("What it writes", "它写的文字"),
    "samples_caption": (
        "The beginning in bold was given. {settings}. Nothing was picked by hand.",
        "粗体是给出的开头。{settings}。未经挑选。",
    ),
    "settings": (
        "Temperature {temperature}, top-p {top_p}, seed {seed}",
        "温度 {temperature}，top-p {top_p}，种子 {seed}",
    ),
    "fills": ("What it fills in", "它填的词"),
    "fills_caption": (
        "The framed words were hidden. Below each text: what stood there, and the model's first guesses.",
        "加框的词被遮住了。每段文字下面是原词和模型最先猜的几个。",
    ),
    "data": ("The text", "文本"),
    "keywords": ("Words that tell the text", "关键词"),
    "keywords_caption": (
        "Without stop words, by log-odds with the whole as prior, in deviations (Monroe et al. 2008).",
        "去掉停用词，按对数几率差排序（以全部文本为先验，单位为标准差；Monroe 等 2008）。",
    ),
    "keywords_counts": ("Words without stop words, by how often they occur.", "去掉停用词后，按出现次数排序。"),
    "keywords_budget": (
        "Counted in the first {characters} characters of a corpus.",
        "每个语料只统计前 {characters} 个字符。",
    ),
    "against": ("{part}, against {rest}", "{part}，对比{rest}"),
    "other_labels": ("the other labels", "其他标签"),
    "other_corpora": ("the other corpora", "其他语料"),
    "word": ("Word", "词"),
    "here": ("here", "这里"),
    "elsewhere": ("elsewhere", "别处"),
    "deviations": ("surprise", "显著度"),
    "ledger": ("The ledger", "账目"),
    "ledger_caption": (
        "What came in, what was kept, and what was dropped and why: in + added = kept + dropped, to the character.",
        "进来多少、留下多少、因何丢掉多少：进入 + 增加 = 留下 + 丢掉，精确到字符。",
    ),
    "in": ("came in", "进入"),
    "kept": ("kept", "留下"),
    "dropped": ("dropped: {reason}", "丢掉：{reason}"),
    "added": ("added: {reason}", "增加：{reason}"),
    "also": ("Also counted", "另外统计"),
    "unit.documents": ("documents", "文档"),
    "unit.characters": ("characters", "字符"),
    "unit.tokens": ("tokens", "词片"),
    "unit.labels": ("labels", "标签"),
    "unit.words": ("words", "词"),
    "unit.examples": ("examples", "样例"),
    "run": ("The run", "运行"),
    "stages": ("Time and sizes", "时间与大小"),
    "stage": ("Stage", "步骤"),
    "time": ("Time", "用时"),
    "size": ("On disk", "磁盘占用"),
    "all": ("All", "合计"),
    "machine": ("The machine", "机器"),
    "machine.threads": ("Threads", "线程"),
    "machine.micro_batch_tokens": ("Tokens computed at a time", "每次计算的词片数"),
    "machine.precision": ("Products in", "乘法精度"),
    "machine.torch": ("PyTorch", "PyTorch"),
    "machine.cpu": ("Instructions", "指令集"),
    "machine.matrix_gflops": ("Matrix rate, GFLOP/s", "矩阵速度（GFLOP/s）"),
    "machine.resumed": ("Resumed", "接续训练"),
    "machine.peak_bytes": ("Peak memory", "内存峰值"),
    "try": ("Try the models", "试用模型"),
    "try_caption": ("From the folder where the run was started:", "在启动运行的目录下："),
    "recipe": ("The recipe", "配方"),
    "recipe_caption": ("This file makes the same run again: ", "用这个文件可以重现本次运行："),
    "made": ("Made by Myna {version}.", "由 Myna {version} 生成。"),
    "and": (" and ", "和"),
    "comma": (", ", "、"),
}

Phrase = Callable[..., str]


def phrases(language: str) -> Phrase:
    """A function that gives a phrase by its name, its places filled in; ``language`` is ``en`` or ``zh``."""
    column = ("en", "zh").index(language)

    def say(name: str, **places: object) -> str:
        return PHRASES[name][column].format(**places)

    return say


def named(say: Phrase, kind: str, name: str) -> str:
    """The phrase ``KIND.NAME``, or the name itself where there is none."""
    return say(f"{kind}.{name}") if f"{kind}.{name}" in PHRASES else name.replace("_", " ")


def listed(say: Phrase, names: list[str]) -> str:
    """``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return say("comma").join(names[:-1]) + say("and") + names[-1]
