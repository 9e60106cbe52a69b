"""What the report says of a curve, as :mod:`myna.evaluation.phrases`."""

CURVE: dict[str, tuple[str, str]] = {
    "curve": ("What labels and pre-training are worth", "标注与预训练各值多少"),
    "curve.caption": (
        "Thick dots: pre-trained; black: the same network from scratch; thin: the best simple method. Bars: 95\u202f%.",
        "彩色粗点：预训练过的模型；黑色：同一网络从零训练；细线：最好的简单方法。竖线：95\u202f% 区间。",
    ),
    "curve.across": ("labelled examples, in equal ratios", "标注样例数（对数刻度）"),
    "curve.examples": ("Labelled examples", "标注样例"),
    "curve.scratch": ("From scratch", "从零训练"),
    "curve.pretrained": ("Pre-trained", "预训练"),
    "curve.difference": ("Difference", "差"),
    "curve.over_runs": ("Over the seeds", "对种子"),
    "curve.seeds": ("mean of {count} seeds", "{count} 个种子的平均"),
}
