"""The words that the checks of :mod:`myna.evaluation.challenge` are made of, in Chinese and English."""

from __future__ import annotations

from dataclasses import dataclass

# What a label of good or bad is called, folded; the third is what stands between them.
POSITIVE = frozenset(("positive", "pos", "good", "正面", "正向", "积极", "好评", "褒义", "正"))
NEGATIVE = frozenset(("negative", "neg", "bad", "负面", "负向", "消极", "差评", "贬义", "负"))
NEUTRAL = frozenset(("neutral", "neu", "mixed", "中性", "中立", "中评"))


@dataclass(frozen=True)
class Templates:
    """Sentences with places for a thing and a word of praise or blame.

    ``flat`` says it, ``stronger`` the same with more force, ``denied`` its contrary; ``turned`` are pairs of what was
    once and is now, the first from bad to good, the second from good to bad.
    """

    things: tuple[str, ...]
    praise: tuple[str, ...]
    blame: tuple[str, ...]
    flat: str
    stronger: tuple[str, ...]
    denied: tuple[str, ...]
    denied_blame: tuple[str, ...]
    turned: tuple[tuple[str, str], ...]
    praising: tuple[str, ...]
    blaming: tuple[str, ...]


TEMPLATES = {
    "zh": Templates(
        things=("这家酒店", "这本书", "这部手机", "这家餐厅", "这部电影", "这里的服务"),
        praise=("好", "棒", "出色", "令人满意"),
        blame=("差", "糟糕", "烂", "令人失望"),
        flat="{thing}很{word}。",
        stronger=("{thing}非常{word}。", "{thing}特别{word}。"),
        denied=("{thing}不{word}。", "{thing}一点也不{word}。"),
        denied_blame=("{thing}一点也不{word}。", "我并不觉得{thing}{word}。"),
        turned=(
            ("以前我不喜欢{thing}，现在非常喜欢。", "以前我非常喜欢{thing}，现在不喜欢了。"),
            ("原来以为{thing}很差，没想到很好。", "原来以为{thing}很好，没想到很差。"),
        ),
        praising=("我非常喜欢。", "强烈推荐。"),
        blaming=("我非常失望。", "千万不要买。"),
    ),
    "en": Templates(
        things=("The hotel", "The book", "The phone", "The food", "The movie", "The service"),
        praise=("good", "great", "excellent", "wonderful"),
        blame=("bad", "terrible", "awful", "disappointing"),
        flat="{thing} is {word}.",
        stronger=("{thing} is really {word}.", "{thing} is extremely {word}."),
        denied=("{thing} is not {word}.", "{thing} is not {word} at all."),
        denied_blame=("{thing} is not {word} at all.", "I don't think that {thing} is {word}."),
        turned=(
            ("{thing}: I used to hate it, but now I love it.", "{thing}: I used to love it, but now I hate it."),
            ("{thing} was bad before, but now it is great.", "{thing} was great before, but now it is bad."),
        ),
        praising=(" I love it.", " Highly recommended."),
        blaming=(" I hate it.", " Never again."),
    ),
}

# Names of one kind, any of which can stand for another.
NAMES = {
    "zh": (
        ("北京", "上海", "广州", "深圳", "杭州", "南京", "成都", "武汉", "西安", "重庆", "天津", "苏州"),
        ("小王", "小李", "小张", "小刘", "小陈", "小杨", "小赵", "小周"),
        ("王先生", "李先生", "张先生", "刘先生", "陈先生", "杨先生"),
        ("王小姐", "李小姐", "张小姐", "刘小姐", "陈小姐", "杨小姐"),
        ("法国", "德国", "英国", "美国", "日本", "韩国", "俄国", "泰国"),
    ),
    "en": (
        ("James", "John", "Robert", "Michael", "David", "William", "Thomas", "Daniel", "Paul", "Mark"),
        ("Mary", "Linda", "Susan", "Sarah", "Karen", "Emma", "Anna", "Laura", "Julia", "Alice"),
        ("London", "Paris", "Berlin", "Boston", "Chicago", "Dallas", "Denver", "Seattle", "Houston", "Phoenix"),
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        ("France", "Germany", "Spain", "Italy", "Japan", "China", "Canada", "Mexico", "Brazil", "India"),
    ),
}
