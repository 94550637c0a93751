"""The loss of an encoder: labels tell the texts of a batch apart, and a teacher says how far.

Needs the extra ``finetune``.
"""

from importlib import import_module
from typing import Any

from optimize.finetune.checks import installed
from optimize.finetune.encoder.teacher import Teacher

with installed("finetune encoder", "encoder,finetune"):
    torch: Any = import_module("torch")
    functional: Any = import_module("torch.nn.functional")
    losses: Any = import_module("sentence_transformers.sentence_transformer.losses")

ROW = "label"  # a column that the trainer gives to the loss: the number of the pair
_NEVER = -1e4  # a similarity that no softmax sees


class ContrastiveLoss(losses.MultipleNegativesRankingLoss):
    """Contrastive loss over the batch, in both directions (Henderson et al., 2017).

    Args:
        model: that is trained.
        temperature: of the softmax over the batch.
    """

    def __init__(self, model: Any, temperature: float) -> None:
        super().__init__(
            model,
            scale=1 / temperature,
            directions=("query_to_doc", "doc_to_query"),
            partition_mode="per_direction",
        )


class TaughtLoss(ContrastiveLoss):
    """The contrastive loss, and beside it the divergence from a teacher's similarities.

    The teacher's softmax over the batch is the aim, of anchors with positives, back, and of
    anchors among themselves (relational distillation; Park et al., 2019; Tian et al., 2020). So
    the encoder learns which of the other agents are close, and not only that they are wrong.

    Args:
        model, temperature: see ``ContrastiveLoss``; the teacher's softmax has the same.
        teacher: its vectors of the pairs that are trained on, in order.
        share: of the loss that is the teacher's, 0 to 1.
    """

    def __init__(self, model: Any, temperature: float, teacher: Teacher, share: float) -> None:
        super().__init__(model, temperature)
        self._rows, self._vectors = torch.tensor(teacher.rows), torch.tensor(teacher.vectors)
        self._share = share

    def compute_loss_from_embeddings(self, embeddings: list[Any], labels: Any) -> Any:
        """Return the loss of a batch.

        Args:
            embeddings: of anchors and of positives, unit vectors, shape (pairs, dim) each.
            labels: numbers of the pairs, shape (pairs,).
        """
        anchors, positives = embeddings
        told = self._vectors[self._rows[labels]].float()
        told_anchors, told_positives = told[:, 0], told[:, 1]
        across, aim = anchors @ positives.T, told_anchors @ told_positives.T
        same = torch.eye(len(anchors), dtype=torch.bool)
        among = (anchors @ anchors.T).masked_fill(same, _NEVER)
        aim_among = (told_anchors @ told_anchors.T).masked_fill(same, _NEVER)
        parts = [(across, aim), (across.T, aim.T), (among, aim_among)]
        taught = sum(self._divergence(own, aim) for own, aim in parts) / 2
        labeled = super().compute_loss_from_embeddings(embeddings, labels)
        return (1 - self._share) * labeled + self._share * taught

    def _divergence(self, own: Any, aim: Any) -> Any:
        """Return the mean divergence of the softmax of rows from that which is aimed at."""
        reached = functional.log_softmax(own * self.scale, dim=1)
        wanted = functional.softmax(aim * self.scale, dim=1)
        return functional.kl_div(reached, wanted, reduction="batchmean")
