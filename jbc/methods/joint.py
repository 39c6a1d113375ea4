"""Joint calibration and classification, for two batches and for many."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.sampling import Rows
from jbc.errors import InputError
from jbc.losses import alignment, cross_entropy, squared_error
from jbc.methods import joint_players, preconditions
from jbc.methods.base import ByEpochs, Classifies, Diagnoses, Encodes, Fitted, Info, Trainable
from jbc.methods.constraints import Fraction, NonNegative, Positive
from jbc.methods.inputs import Inputs
from jbc.methods.joint_players import JointState, Nets
from jbc.methods.settings import KERNEL, TRAINING, Kernel, Training, build_optimiser
from jbc.methods.subspace import Projects
from jbc.methods.turns import repeat
from jbc.nets import Family, PlayerState
from jbc.numerics.noise import jitter

Reduction = Literal["mean", "sum"]


@dataclasses.dataclass(frozen=True)
class JointCalibration(Projects, ByEpochs, Trainable, Classifies, Encodes, Diagnoses):
    r"""Align all domains in one latent space while learning to classify the labelled ones.

    A calibrator C maps rows of every domain into one space, a classifier D tells the class there, and one
    reconstructor R per domain keeps the codes faithful to the measurements. With K labelled source domains, any
    number of unlabelled targets, and z = C(x):

    .. math::

        \mathcal{L}_A &= \alpha\,\mathrm{MMD}^2(z) + \beta\,\mathrm{CE}(D(z), y), \\
        \mathcal{L}_B &= \alpha\,\mathrm{MMD}^2(z) + \gamma\,\lVert x - R(z) \rVert^2 .

    The many-batch paper repeats steps A (on C and D) and B (on C and R) in turn, ``classify_rounds`` and
    ``rebuild_rounds`` times; the two-batch paper descends on the sum of all terms (``alternate=False``).

    Parameters
    ----------
    inputs
        Logarithm, level of the row, and standardisation of the inputs.
    family
        Networks: ours starts as the identity; the others are the papers'.
    dropout
        Rate of dropped hidden units, in training.
    members
        Number of classifiers that are trained side by side, and averaged.
    coupled
        Let the gradient of the classifiers pass into the calibrator.
    noise
        Standard deviation of noise on the codes that the classifier learns from, in units of standardised inputs.
    smoothing
        Probability that the targets of the classifier leave to the classes that a label does not name.
    statistics
        Normalise at inference by each domain's own statistics, or by running averages, which pool the domains.
    rebuild
        Domains that have a reconstructor.
    calibrate
        Learn the calibrator; or leave rows as they are, and train the classifier alone.
    align
        Weight α of the alignment of domains; 0 switches it off.
    align_rebuild
        This weight in step B; None for the same.
    discrepancy
        What is aligned: distributions of codes, by their squared MMD; or rows drawn at random, by the L1 norm of the
        difference of their codes, which is equation (1) of both papers as it stands.
    classify
        Weight β of the classification.
    reconstruct
        Weight γ of the reconstruction.
    alternate
        Steps A and B in turn instead of one joint step.
    classify_rounds
        How often step A, which aligns and classifies, is repeated in a turn: λ1.
    rebuild_rounds
        How often step B, which aligns and reconstructs, is repeated in a turn: λ2.
    kernel
        Kernels of the MMD.
    pairs
        Reduction of the MMD over pairs of domains; a sum runs over ordered pairs.
    rows_reduced
        Reduction of the cross-entropy over rows.
    features_reduced
        Reduction of the squared error over features.
    domains_reduced
        Reduction of cross-entropy and squared error over domains.
    labelled
        Domains whose labels train the classifier: all that have some, or the last one.
    training
        Minibatches, length, optimiser and averaging; weight decay is that of all parameters.
    restart
        Forget the optimiser's moments at every epoch.
    idle_moves
        Let moments and weight decay move a player on in a step in which it has no loss, as one optimiser over all
        players does where gradients are set to zero.

    Notes
    -----
    *Paper, released code and default differ.* The papers write means over pairs and sources, the released
    programs sum everything (:mod:`jbc.presets` has both). Their kernels of width 1–16 see nothing on raw intensities
    in the thousands; the default standardises log inputs per domain and measures bandwidths in units of the data.
    Their batch norm sees one domain at a time in training but pools them at inference; the default keeps the
    statistics of every domain. Rows without a label train everything but the classifier.

    *What each step buys*, in accuracy on three plates of mass spectra (0.864; ``experiments/joint/run.py --tables
    ablations``): standardised inputs 0.105, reconstruction 0.046, the networks in place of the paper's 0.037, dropout
    0.019, the logarithm 0.009, keeping the classifier's gradient from the calibrator 0.007, noise 0.004; level,
    members, smoothing, average and the alignment itself 0.002 at most. Where a z-score per domain followed by
    gradient boosting does as well, as on cytometry, take that.

    References
    ----------
    Niu et al., Joint deep learning for batch effect removal and classification toward MALDI MS based metabolomics,
    BMC Bioinformatics 2022. Niu et al., Deep learning based multi-batch calibration for classification in various
    omics, doi 10.21203/rs.3.rs-1017151/v1.

    Examples
    --------
    >>> import jbc
    >>> world = jbc.datasets.load("simulated-plates")
    >>> cohort = jbc.Cohort.from_arrays(world.X, world.obs["domain"], label=world.obs["label"])
    >>> model = jbc.fit(jbc.JointCalibration(training=jbc.Training(rows=32)), cohort, steps=2)
    >>> model.predict(world.X[:2], world.obs["domain"][:2]).shape
    (2,)
    """

    takes_missing: ClassVar[bool] = True
    least_rows: ClassVar[int] = 16

    inputs: Inputs = Inputs(log=True, level="auto", scale="domain", subspace="auto")
    family: Family = "residual"
    dropout: Fraction = 0.5
    members: Positive = 4
    coupled: bool = False
    noise: NonNegative = 0.3
    smoothing: Fraction = 0.1
    statistics: Literal["domain", "running"] = "domain"
    rebuild: Literal["sources", "all", "none"] = "all"
    calibrate: bool = True
    align: NonNegative = 1.0
    align_rebuild: NonNegative | None = None
    discrepancy: Literal["mmd", "l1"] = "mmd"
    classify: NonNegative = 1.0
    reconstruct: NonNegative = 1.0
    alternate: bool = False
    classify_rounds: Positive = 1
    rebuild_rounds: Positive = 1
    kernel: Kernel = KERNEL
    pairs: Reduction = "mean"
    rows_reduced: Reduction = "mean"
    features_reduced: Reduction = "mean"
    domains_reduced: Reduction = "mean"
    labelled: Literal["all", "last"] = "all"
    training: Training = Training(rows=128, epochs=40, min_steps=400, max_steps=2000, weight_decay=1e-4).over(
        TRAINING
    )
    restart: bool = False
    idle_moves: bool = False

    def compares_mixtures(self, cohort: Cohort) -> bool:
        """Without a calibrator, no domain is compared with another one."""
        return self.calibrate and super().compares_mixtures(cohort)

    def check(self, cohort: Cohort) -> None:
        """Refuse cohorts that cannot be aligned or classified."""
        several = len(cohort.domains.count) > 1
        preconditions.enough_rows(cohort)
        self.inputs.check(cohort)
        self.training.check(compares=self.family != "residual" or bool(self.align and several))
        preconditions.turns_taken(
            self.alternate, align_rebuild=self.align_rebuild, idle_moves=self.idle_moves
        )
        if not self.calibrate and (self.align or self.reconstruct):
            raise InputError(
                "Nothing to align or to rebuild without a calibrator",
                which=["calibrate=False", f"align={self.align}", f"reconstruct={self.reconstruct}"],
                why="The codes are the rows as they are, and nothing changes them.",
                fix="Set align=0 and reconstruct=0.",
                code="bad-setting",
            )
        terms = (
            (self.align or self.align_rebuild) and several,
            self.classify and len(cohort.sources),
            self.reconstruct and self.rebuild != "none",
        )
        if not any(terms):
            raise InputError(
                "Nothing to train on",
                which=[f"align={self.align}", f"classify={self.classify}", f"reconstruct={self.reconstruct}"],
                why="All terms of the loss are switched off, or have neither labels nor domains to be about.",
                fix="Give one of them a weight above 0.",
                code="bad-setting",
            )
        preconditions.gram_fits(cohort, self.training.rows)
        preconditions.classes_estimable(cohort)

    def init(self, key: Array, cohort: Cohort) -> JointState:
        """Draw the networks; measure what standardises the inputs."""
        everything = jnp.asarray(cohort.domains.domain)
        # Without any label, all domains are equal.
        sources = jnp.asarray(cohort.sources) if len(cohort.sources) else everything
        rebuilt = {"sources": sources, "all": everything, "none": everything[:0]}[self.rebuild]
        return self.begin(key, cohort, sources, rebuilt)

    def begin(self, key: Array, cohort: Cohort, sources: Array, rebuilt: Array) -> JointState:
        """Return a state for minibatches whose labelled and rebuilt domains are at these positions."""
        d, groups = cohort.width, len(cohort.domains.count)
        nets = self._nets(groups, joint_players.outputs(cohort.n_labels))
        keys = jax.random.split(key, 3)
        tables = self.tables(cohort)
        example = jnp.zeros((groups, 2, d))
        player = functools.partial(PlayerState.of_net, tx=self._tx, ema_decay=self.training.ema_decay)
        classifier = reconstructors = None
        if nets.classifier is not None:
            classifier = player(nets.classifier, key=keys[1], x=example, copies=self.members)
        if len(rebuilt):
            reconstructors = player(nets.reconstructor, key=keys[2], x=example[0], copies=len(rebuilt))
        return JointState(
            calibrator=player(nets.calibrator, key=keys[0], x=example),
            classifier=classifier,
            reconstructors=reconstructors,
            tables=tables,
            sources=sources,
            rebuilt=rebuilt,
            epoch=self.draw.epoch(cohort).astype(jnp.int32),
            step=jnp.int32(0),
        )

    def step(self, key: Array, state: JointState, rows: Rows) -> tuple[JointState, Info]:
        """Train on one minibatch of every domain."""
        epoch = state.step // state.epoch
        rate = self.training.rate(epoch + 1)
        if self.restart:
            first = state.step % state.epoch == 0
            players = {p: getattr(state, p) for p in ("calibrator", "classifier", "reconstructors")}
            state = state.replace(**{p: v.restart(first) if v else None for p, v in players.items()})
        x = self.inputs.of_rows(state.tables, rows)
        update = functools.partial(self._update, x=x, rows=rows, rate=rate)
        if not self.alternate:
            state, info = update(key, state, parts=("classify", "rebuild"))
            return state.replace(step=state.step + 1), info
        info: Info = {}
        turns = ((self.classify_rounds, "classify"), (self.rebuild_rounds, "rebuild"))
        for player, (rounds, part) in enumerate(turns):
            turn = functools.partial(update, parts=(part,))
            state, last = repeat(turn, jax.random.fold_in(key, player), state, rounds)
            info |= last
        return state.replace(step=state.step + 1), info

    def finish(self, state: JointState, cohort: Cohort) -> Fitted:
        """Return the parameters, with the statistics of every domain."""
        groups, domain = len(cohort.domains.count), jnp.asarray(cohort.domain)
        nets = self._nets(groups, joint_players.outputs(cohort.n_labels))
        freeze = functools.partial(
            joint_players.freeze_statistics,
            domain=domain,
            weight=jnp.asarray(cohort.weight),
            domains=groups,
            own=self.statistics == "domain",
            pooled=cohort.composition is not None,
        )
        x = self.inputs.apply(state.tables, jnp.asarray(cohort.x), domain)
        z, calibrator = freeze(
            nets.calibrator, state.calibrator.inference_params, state.calibrator.running, x
        )
        fitted = {"calibrator": calibrator, "inputs": state.tables}
        if state.classifier is not None:
            each = jax.vmap(lambda params, running: freeze(nets.classifier, params, running, z)[1])
            fitted["classifier"] = each(state.classifier.inference_params, state.classifier.running)
        if state.reconstructors is not None:
            fitted["reconstructors"] = {"params": state.reconstructors.inference_params}
        return fitted

    def encode(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return calibrated codes z = C(x)."""
        net = self._nets(self.n_domains(fitted), 1).calibrator
        inputs = self.inputs.apply(fitted["inputs"], x, domain)
        return joint_players.infer(net, fitted["calibrator"], inputs, domain)

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Decode the calibrated codes as if all rows came from one average domain.

        Without reconstructors the codes stand for the standardised inputs.
        """
        z = self.encode(fitted, x, domain)
        if "reconstructors" in fitted:
            net = self._nets(self.n_domains(fitted), 1).reconstructor
            z = joint_players.infer_mean(net, fitted["reconstructors"], z)
        return self.inputs.restore(fitted["inputs"], z, x, domain)

    def n_domains(self, fitted: Fitted) -> int:
        """Return the number of domains."""
        return len(fitted["inputs"]["location"])

    def predict(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return logits, (n, classes); two classes have the logits 0 and D(z)."""
        outputs = joint_players.width(fitted["classifier"])
        net = self._nets(self.n_domains(fitted), outputs).classifier
        z = self.encode(fitted, x, domain)
        logits = joint_players.infer_mean(net, fitted["classifier"], z, domain)
        return jnp.concatenate([jnp.zeros_like(logits), logits], axis=-1) if outputs == 1 else logits

    def diagnose(self, info: dict[str, float], apart: Callable[[], float]) -> list[str]:
        """Return a warning when the kernels see nothing."""
        del apart
        if self.align and info.get("kernel", 0.5) < 1e-3:
            return [
                f"The MMD kernels are saturated: their mean over rows of different domains is {info['kernel']:.1e}. "
                "So far apart, the alignment has no gradient and does nothing. "
                'Use kernel=Kernel(unit="median"), or standardise the inputs (inputs=Inputs(scale="domain")).'
            ]
        return []

    def _nets(self, domains: int, outputs: int) -> Nets:
        return joint_players.build(self.family, self.dropout, domains, outputs, calibrate=self.calibrate)

    @property
    def _tx(self) -> optax.GradientTransformation:
        return build_optimiser(self.training.optimiser, self.training.weight_decay, matrices_only=False)

    def _update(
        self, key: Array, state: JointState, *, x: Array, rows: Rows, rate: Array, parts: tuple[str, ...]
    ) -> tuple[JointState, Info]:
        """Descend once on the alignment and the given other parts, in the parameters that these touch."""
        others = {"classify": "classifier", "rebuild": "reconstructors"}
        those = {name: getattr(state, name) for name in others.values() if getattr(state, name) is not None}
        touched = {name: those[name] for part, name in others.items() if part in parts and name in those}
        players = {"calibrator": state.calibrator} | touched
        align = self.align if "classify" in parts or self.align_rebuild is None else self.align_rebuild
        loss = functools.partial(self._loss, key=key, state=state, x=x, rows=rows, align=align)
        (_, (info, running)), grads = jax.value_and_grad(loss, has_aux=True)(
            {name: player.params for name, player in players.items()}
        )
        if self.idle_moves:
            players = those | players
            grads = {n: grads.get(n, jax.tree.map(jnp.zeros_like, p.params)) for n, p in players.items()}
        players = {n: p.update(grads[n], rate, running.get(n)) for n, p in players.items()}
        return state.replace(**players), info

    def _loss(
        self, params: dict[str, Any], *, key: Array, state: JointState, x: Array, rows: Rows, align: float
    ) -> tuple[Array, tuple[Info, dict[str, Any]]]:
        """Sum the weighted terms whose players are among ``params``.

        Where mixtures of domains differ, statistics of networks are those of all domains: each one's own would take
        differences of mixtures out.
        """
        keys, running, info = jax.random.split(key, 4), {}, {}
        pooled, label = rows.weight is not None, rows.label
        z, running["calibrator"] = joint_players.forward(
            state.calibrator, params["calibrator"], x, keys[0], pooled=pooled
        )
        total = jnp.zeros(())
        if align and len(x) > 1:
            apart, seen = joint_players.compare(z, rows, self.kernel, self.discrepancy)
            info = seen | {"align": alignment(apart, self.pairs, rows.overlap)}
            total += align * info["align"]
        if "classifier" in params and state.classifier is not None:
            sources = state.sources if self.labelled == "all" else state.sources[-1:]
            seen = z[sources] if self.coupled else jax.lax.stop_gradient(z[sources])
            if self.noise:
                seen += self.noise * jitter(keys[3], seen.shape)
            logits, running["classifier"] = joint_players.forward_each(
                state.classifier,
                params["classifier"],
                seen,
                jax.random.split(keys[1], self.members),
                shared=True,
                pooled=pooled,
            )
            entropy = functools.partial(
                cross_entropy,
                label=label[sources],
                smoothing=self.smoothing,
                rows=self.rows_reduced,
                domains=self.domains_reduced,
            )
            info["classify"] = jax.vmap(entropy)(logits).mean()
            total += self.classify * info["classify"]
        if "reconstructors" in params and state.reconstructors is not None:
            each = jax.random.split(keys[2], len(state.rebuilt))
            output, _ = joint_players.forward_each(
                state.reconstructors, params["reconstructors"], z[state.rebuilt], each
            )
            seen = None if rows.observed is None else rows.observed[state.rebuilt]
            reduced: Any = {"features": self.features_reduced, "domains": self.domains_reduced}
            info["rebuild"] = squared_error(output, x[state.rebuilt], observed=seen, **reduced)
            total += self.reconstruct * info["rebuild"]
        return total, (info | {"loss": total}, running)
