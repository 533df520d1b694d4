"""The table of settings. The sidebar, the flags and their help, the config file and its checks, and
docs/settings.md are made from it.
"""

from __future__ import annotations

from alpaca_tui.chat.schema import (
    AUTO,
    NO_LIMIT,
    OFF,
    RANDOM,
    TOKENS,
    WHOLE_CONTEXT,
    Applies,
    Setting,
    Words,
)
from alpaca_tui.engine.protocol import MAX_THREADS

T, M, R = Applies.TOKEN, Applies.MESSAGE, Applies.RELOAD

# In the order on screen: how a reply is chosen, then how it is computed.
SETTINGS: tuple[Setting, ...] = (
    Setting(
        "temp", ("--temp", "--temperature"), float, 0.8, 0.0, 5.0, 0.05, T,
        Words("Temperature", "温度"),
        Words("Low is sober and repeatable, high is inventive. 0 always takes the likeliest token.",
              "低则稳重、可重复，高则更有创意。0 总是选最可能的词元。"),
        span=(0.0, 2.0),
    ),
    Setting(
        "top_k", ("--top_k", "--top-k"), int, 40, 0, 1_000_000, 5, T,
        Words("Top-k", "top-k"),
        Words("Only the k likeliest tokens may be chosen.", "只在最可能的 k 个词元中选择。"),
        special=((0, OFF),), span=(0, 100), unit=TOKENS,
    ),
    Setting(
        "top_p", ("--top_p", "--top-p"), float, 0.95, 0.0, 1.0, 0.05, T,
        Words("Top-p", "top-p"),
        Words("Only the likeliest tokens that together have this probability may be chosen. 1 is off.",
              "只在合计达到这一概率的最可能词元中选择。1 为关闭。"),
        span=(0.0, 1.0),
    ),
    Setting(
        "repeat_penalty", ("--repeat_penalty", "--repeat-penalty"), float, 1.1, 0.1, 5.0, 0.05, T,
        Words("Repeat penalty", "重复惩罚"),
        Words("Makes tokens that were there lately less likely. 1 is off.",
              "降低近期出现过的词元的概率。1 为关闭。"),
        span=(1.0, 2.0),
    ),
    Setting(
        "repeat_last_n", ("--repeat_last_n", "--repeat-last-n"), int, 64, 0, 1_000_000, 16, T,
        Words("Repeat window", "重复窗口"),
        Words("How many of the last tokens the repeat penalty looks at.", "重复惩罚查看最近多少个词元。"),
        special=((0, OFF), (-1, WHOLE_CONTEXT)), span=(0, 512), unit=TOKENS,
    ),
    Setting(
        "n_predict", ("-n", "--n_predict", "--n-predict", "--predict"), int, 512, 1, 1_000_000, 64, M,
        Words("Reply limit", "回复上限"),
        Words("The longest a reply may become, in tokens.", "一条回复最多多少个词元。"),
        special=((-1, NO_LIMIT),), span=(64, 2048), unit=TOKENS,
    ),
    Setting(
        "seed", ("-s", "--seed"), int, -1, 0, 2**32 - 1, 1, M,
        Words("Seed", "随机种子"),
        Words("The same seed and settings give the same reply.", "种子和参数相同，回答就相同。"),
        special=((-1, RANDOM),),
    ),
    Setting(
        "min_p", ("--min_p", "--min-p"), float, 0.05, 0.0, 1.0, 0.01, T,
        Words("Min-p", "min-p"),
        Words("A token needs at least this share of the likeliest one's probability. 0 is off.",
              "词元的概率至少要达到最可能者的这一比例。0 为关闭。"),
        span=(0.0, 0.5), advanced=True,
    ),
    Setting(
        "typical_p", ("--typical-p", "--typical"), float, 1.0, 0.0, 1.0, 0.05, T,
        Words("Typical", "典型采样"),
        Words("Only the tokens whose surprise is about the usual one may be chosen. 1 is off.",
              "只在意外程度接近平均的词元中选择。1 为关闭。"),
        span=(0.0, 1.0), advanced=True,
    ),
    Setting(
        "tfs_z", ("--tfs",), float, 1.0, 0.0, 1.0, 0.05, T,
        Words("Tail-free", "无尾采样"),
        Words("Cuts the tail of unlikely tokens off where the curve flattens. 1 is off.",
              "在概率曲线变平处截去不太可能的词元。1 为关闭。"),
        span=(0.0, 1.0), advanced=True,
    ),
    Setting(
        "top_n_sigma", ("--top-n-sigma",), float, -1.0, 0.0, 20.0, 0.1, T,
        Words("Top-n-sigma", "top-n-sigma"),
        Words("Only tokens within this many standard deviations of the best score may be chosen.",
              "只在得分与最高分相差不超过若干标准差的词元中选择。"),
        special=((-1, OFF),), span=(0.0, 5.0), advanced=True,
    ),
    Setting(
        "xtc_probability", ("--xtc-probability",), float, 0.0, 0.0, 1.0, 0.05, T,
        Words("XTC chance", "XTC 概率"),
        Words("How often the likeliest tokens are left out, for more surprising replies. 0 is off.",
              "多大概率舍去最可能的词元，使回答更出人意料。0 为关闭。"),
        span=(0.0, 1.0), advanced=True,
    ),
    Setting(
        "xtc_threshold", ("--xtc-threshold",), float, 0.1, 0.0, 1.0, 0.05, T,
        Words("XTC threshold", "XTC 阈值"),
        Words("XTC leaves out tokens likelier than this, all but the last of them. Above 0.5 is off.",
              "XTC 舍去概率高于此值的词元，只留其中最末一个。大于 0.5 为关闭。"),
        span=(0.0, 0.5), advanced=True,
    ),
    Setting(
        "dynatemp_range", ("--dynatemp-range",), float, 0.0, 0.0, 5.0, 0.05, T,
        Words("Dynamic temp.", "动态温度"),
        Words("The temperature goes up and down by as much as this, with the model's doubt. 0 is off.",
              "温度随模型的把握大小上下浮动的幅度。0 为关闭。"),
        span=(0.0, 2.0), advanced=True,
    ),
    Setting(
        "dynatemp_exponent", ("--dynatemp-exp",), float, 1.0, 0.0, 10.0, 0.1, T,
        Words("Dynamic exponent", "动态温度指数"),
        Words("How the temperature follows the doubt: 1 evenly, more than 1 late.",
              "温度随不确定性变化的快慢：1 为均匀，大于 1 则较迟。"),
        span=(0.0, 4.0), advanced=True,
    ),
    Setting(
        "presence_penalty", ("--presence_penalty", "--presence-penalty"), float, 0.0, -5.0, 5.0, 0.05, T,
        Words("Presence penalty", "出现惩罚"),
        Words("Taken off the score of every token in the repeat window, however often it was there.",
              "重复窗口中出现过的词元都扣去此分，与次数无关。"),
        span=(0.0, 2.0), advanced=True,
    ),
    Setting(
        "frequency_penalty", ("--frequency_penalty", "--frequency-penalty"), float, 0.0, -5.0, 5.0, 0.05, T,
        Words("Frequency penalty", "频率惩罚"),
        Words("Taken off the score of a token for each time it is in the repeat window.",
              "词元在重复窗口中每出现一次就扣去此分。"),
        span=(0.0, 2.0), advanced=True,
    ),
    Setting(
        "dry_multiplier", ("--dry-multiplier",), float, 0.0, 0.0, 10.0, 0.1, T,
        Words("DRY", "DRY"),
        Words("How strongly a token is held back that would go on with a repeated sequence. 0 is off.",
              "对会延续重复片段的词元压制多强。0 为关闭。"),
        span=(0.0, 2.0), advanced=True,
    ),
    Setting(
        "dry_base", ("--dry-base",), float, 1.75, 1.0, 10.0, 0.05, T,
        Words("DRY base", "DRY 底数"),
        Words("DRY grows by this factor with each repeated token.", "重复片段每长一个词元，DRY 就乘以此数。"),
        span=(1.0, 4.0), advanced=True,
    ),
    Setting(
        "dry_allowed_length", ("--dry-allowed-length",), int, 2, 0, 1_000_000, 1, T,
        Words("DRY from length", "DRY 起始长度"),
        Words("Repeated sequences up to this length are left alone by DRY.",
              "不超过此长度的重复片段，DRY 不理会。"),
        span=(0, 20), unit=TOKENS, advanced=True,
    ),
    Setting(
        "dry_penalty_last_n", ("--dry-penalty-last-n",), int, -1, 0, 1_000_000, 64, T,
        Words("DRY window", "DRY 窗口"),
        Words("How many of the last tokens DRY looks at.", "DRY 查看最近多少个词元。"),
        special=((0, OFF), (-1, WHOLE_CONTEXT)), span=(0, 2048), unit=TOKENS, advanced=True,
    ),
    Setting(
        "mirostat", ("--mirostat",), int, 0, 0, 2, 1, T,
        Words("Mirostat", "Mirostat"),
        Words("Steers to an even surprise, with version 1 or 2, in place of all that cuts tokens off.",
              "取代各种截断方式，用第 1 或第 2 版算法使意外程度保持平稳。"),
        special=((0, OFF),), span=(0, 2), advanced=True,
    ),
    Setting(
        "mirostat_ent", ("--mirostat-ent",), float, 5.0, 0.0, 20.0, 0.1, T,
        Words("Mirostat surprise", "Mirostat 目标"),
        Words("The surprise, in bits, that Mirostat aims at (tau).",
              "Mirostat 追求的意外程度（tau，比特）。"),
        span=(0.0, 10.0), advanced=True,
    ),
    Setting(
        "mirostat_lr", ("--mirostat-lr",), float, 0.1, 0.0, 1.0, 0.01, T,
        Words("Mirostat rate", "Mirostat 速率"),
        Words("How fast Mirostat corrects itself (eta).", "Mirostat 修正的快慢（eta）。"),
        span=(0.0, 1.0), advanced=True,
    ),
    Setting(
        "n_ctx", ("-c", "--ctx_size", "--ctx-size"), int, 0, 8, 1_048_576, 256, R,
        Words("Context", "上下文"),
        Words("How many tokens the model can have in view. More takes more memory. "
              "Automatic: the model's own, at most 2048.",
              "模型一次能看到多少个词元。越大占用内存越多。自动：模型自身的长度，最多 2048。"),
        special=((0, AUTO),), unit=TOKENS, per_chat=False,
    ),
    Setting(
        "n_threads", ("-t", "--threads"), int, 0, 1, MAX_THREADS, 1, M,
        Words("Threads", "线程"),
        Words("Processor threads that work. As many as there are real cores is best.",
              "参与计算的处理器线程数。等于物理核心数最好。"),
        special=((0, AUTO),), per_chat=False,
    ),
    Setting(
        "n_batch", ("-b", "--batch_size", "--batch-size"), int, 512, 1, 2048, 32, M,
        Words("Batch", "批大小"),
        Words("Prompt tokens read at once. More is faster and takes more memory.",
              "一次读取多少个提示词元。越大越快，占用内存也越多。"),
        span=(32, 1024), unit=TOKENS, per_chat=False,
    ),
)  # fmt: skip
BY_KEY = {setting.key: setting for setting in SETTINGS}
