"""LSTMs trained on film reviews by the paper's protocol at smaller learning rates, since its curve is not of its rate.

The rate that fits is chosen by the training curve of Figure 5's network alone, before any spectrum is seen: the least
mean over samples of |ln(epoch of .6 / 27.5)| + |ln((1 - accuracy) / .16)| + |ln(loss / .37)|, with the first epoch of
training accuracy above .6 (figure: 25 to 30), and accuracy and loss of training at epoch 500.
"""

PARTS = {"paper": {16: 5, 20: 3, 10: 3}, "lite": {10: 1}, "smoke": {10: 1, 20: 1}}  # 1/part of the rate: samples
WHOLE = {"paper": 16, "lite": 10, "smoke": 10}  # networks of this part are kept whole, of the others what they do


def units(scale: str, common: dict, cut: dict) -> list[dict]:
    """Settings of every network; those that are not kept whole are cut as in `cut` where they are trained."""
    made = []
    for part, many in PARTS[scale].items():
        one = common | {"part": part, "lr": common["lr"] / part, "keep": part == WHOLE[scale]}
        one |= {} if one["keep"] else cut
        made += [one | {"unit": f"{one['cell']}_1-{part}_s{sample}", "sample": sample} for sample in range(many)]
    return made
