"""Replies to stream."""

MIXED = """Three steps:

1. **Check** the files you have:
   - `consolidated.00.pth` and `params.json`
   - the tokenizer, one folder up
2. **Convert** them to f16, then quantise.
3. Open the result with `alpaca-tui -m models/7B/ggml-model-q4_0.gguf`.

```python
def quantise(rows):
    scale = abs(rows).max() / 8
    return (rows / scale).round()  # [not markup]
```

| format | size | speed |
|:-------|-----:|------:|
| q4_0   | 3.9 GiB | 6.7 tok/s |
| f16    | 12.6 GiB | 2.1 tok/s |

> Nothing leaves this computer. 🦙 [bold]Text in brackets stays text.[/bold]
"""

CHINESE = """分三步：

1. **校验文件：**先运行 `alpaca-tui verify zh-models/7B`，确认下载没有损坏。
2. 转换为 FP16，再量化为 q4_0。量化以后的文件大约是原来的四分之一，在普通笔记本上也能运行（不需要显卡）。
3. 打开模型：

```bash
alpaca-tui -m zh-models/7B/ggml-model-q4_0.bin -f prompts/alpaca.txt -ins
```

长句子会在汉字之间换行，句号、逗号不会出现在行首，“引号”也一样。这一段特意写得很长，用来检查排版：人工智能助手在本机的处理器上运行，所有内容都留在这台电脑里，不会上传。😀
"""

_SECTION = (
    "## Part {n}\n\nA paragraph with **bold words**, `code`, and enough text to wrap over a row or two on "
    "most terminals that people use.\n\n"
    + "".join(f"{i}. Item {i} of a list with *some* emphasis\n   - and a nested item\n" for i in range(1, 13))
    + "\n```python\n"
    + "".join(f"def function_{i}(x):\n    return x + {i}\n" for i in range(12))
    + "```\n\n一段中文，没有空格，也要在汉字之间换行，标点不能出现在行首。\n\n"
)
LONG = "".join(_SECTION.replace("{n}", str(n)) for n in range(1, 15))  # about 4,000 tokens of 4 characters
