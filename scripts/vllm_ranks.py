"""The values that vLLM's --max-lora-rank takes."""

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


def room_for(rank):
    """The least that has room for a rank; None where none has."""
    return next((r for r in RANKS if r >= rank), None)
