"""Joint calibration and classification, for two batches and for many."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from jax import Array

from jbc.cohort import Cohort
from jbc.cohort.sampling import Draw, Rows
from jbc.errors import InputError
from jbc.losses import alignment, cross_entropy, median_bandwidth, mmd2_matrix, squared_error
from jbc.methods import joint_players, preconditions
from jbc.methods.base import Fitted, Info, Trainable
from jbc.methods.constraints import Bandwidths, Factor, Fraction, NonNegative, Positive, PositiveFloat
from jbc.methods.inputs import Inputs, Level, Scale
from jbc.methods.joint_players import JointState, Nets
from jbc.nets import Family, Player
from jbc.numerics.noise import jitter

Reduction = Literal["mean", "sum"]


@dataclasses.dataclass(frozen=True)
class JointCalibration(Trainable):
    r"""Align all domains in one latent space while learning to classify the labelled ones.

    A calibrator C maps rows of every domain into one space, a classifier D tells the class there, and one
    reconstructor R per domain keeps the codes faithful to the measurements. With K labelled source domains,
    any number of unlabelled targets, and z = C(x):

    .. math::

        \mathcal{L}_A &= \alpha\,\mathrm{MMD}^2(z) + \beta\,\mathrm{CE}(D(z), y), \\
        \mathcal{L}_B &= \alpha\,\mathrm{MMD}^2(z) + \gamma\,\lVert x - R(z) \rVert^2 .

    The many-batch paper repeats steps A (on C and D) and B (on C and R) in turn, ``classify_rounds`` and
    ``rebuild_rounds`` times; the two-batch paper descends on the sum of all terms (``alternate=False``).

    Parameters
    ----------
    log, level, scale
        Logarithm, level of the row, and standardisation of the inputs: see :class:`~jbc.methods.inputs.Inputs`.
    family
        Networks: ours starts as the identity; the others are the papers'.
    dropout
        Rate of dropped hidden units, in training.
    members
        Number of classifiers that are trained side by side, and averaged.
    coupled
        Let the gradient of the classifiers pass into the calibrator.
    noise
        Spread of the noise that is added to the codes that the classifier learns from, in units of the
        standardised inputs.
    smoothing
        Probability that the targets of the classifier leave to the classes that a label does not name.
    statistics
        Normalise at inference by each domain's own statistics, or by the running averages of training, which
        pool the domains.
    rebuild
        Domains that have a reconstructor.
    align, classify, reconstruct
        Weights α, β, γ. An ``align`` of 0 switches the alignment off.
    alternate
        Steps A and B in turn instead of one joint step.
    classify_rounds, rebuild_rounds
        How often step A and step B are repeated, λ1 and λ2.
    bandwidths
        Widths of the Gaussian kernels.
    bandwidth_unit
        Multiply the widths by the median distance of the codes in the minibatch, or take them as they are.
    unbiased
        Leave the kernel of a row with itself out of the MMD.
    pairs, rows_reduced, features_reduced, domains_reduced
        Reduction of the MMD over pairs of domains (a sum runs over ordered pairs), of the cross-entropy over
        rows, of the squared error over features, and of both over domains.
    rows
        Rows per domain in a minibatch.
    epochs, min_steps, max_steps
        Length of training: passes over the largest domain, within these numbers of steps.
    learning_rate, decay, weight_decay
        Adam's rate, its factor per epoch, and the decay added to the gradient.
    restart
        Forget Adam's moments at every epoch.
    average
        Use the moving average of the weights with this memory, instead of the last weights.

    Notes
    -----
    *Paper, released code and default differ.* The papers write means over pairs and sources, the released
    programs sum everything (:mod:`jbc.presets` has both). Their kernels of width 1–16 see nothing on raw
    intensities in the thousands; the default standardises log inputs per domain and measures bandwidths in
    units of the data. Their batch norm sees one domain at a time in training but pools them at inference; the
    default keeps the statistics of every domain. Rows without a label train everything but the classifier.

    *What each step buys*, in accuracy on three plates of mass spectra (0.864; ``experiments/joint.py --tables
    ablations``): standardised inputs 0.105, reconstruction 0.046, the networks in place of the paper's 0.037,
    dropout 0.019, the logarithm 0.009, keeping the classifier's gradient from the calibrator 0.007, noise 0.004;
    level, members, smoothing, average and the alignment itself 0.002 at most. Where a z-score per domain
    followed by gradient boosting does as well, as on cytometry, take that.

    References
    ----------
    Niu et al., Joint deep learning for batch effect removal and classification toward MALDI MS based
    metabolomics, BMC Bioinformatics 2022. Niu et al., Deep learning based multi-batch calibration for
    classification in various omics, doi 10.21203/rs.3.rs-1017151/v1.
    """

    classifies: ClassVar[bool] = True
    encodes: ClassVar[bool] = True

    log: bool = True
    level: Level = "auto"
    scale: Scale = "domain"
    family: Family = "residual"
    dropout: Fraction = 0.5
    members: Positive = 4
    coupled: bool = False
    noise: NonNegative = 0.3
    smoothing: Fraction = 0.1
    statistics: Literal["domain", "running"] = "domain"
    rebuild: Literal["sources", "all", "none"] = "all"
    align: NonNegative = 1.0
    classify: NonNegative = 1.0
    reconstruct: NonNegative = 1.0
    alternate: bool = False
    classify_rounds: Positive = 1
    rebuild_rounds: Positive = 1
    bandwidths: Bandwidths = (0.25, 0.5, 1.0, 2.0, 4.0)
    bandwidth_unit: Literal["median", "fixed"] = "median"
    unbiased: bool = True
    pairs: Reduction = "mean"
    rows_reduced: Reduction = "mean"
    features_reduced: Reduction = "mean"
    domains_reduced: Reduction = "mean"
    rows: Positive = 128
    epochs: Positive = 40
    min_steps: Positive = 400
    max_steps: Positive = 2000
    learning_rate: PositiveFloat = 1e-3
    decay: Factor = 1.0
    weight_decay: NonNegative = 1e-4
    restart: bool = False
    average: Fraction = 0.99

    @property
    def inputs(self) -> Inputs:
        """What the networks see."""
        return Inputs(self.log, self.level, self.scale)

    @property
    def draw(self) -> Draw:
        """By epochs, the same number of rows from every domain."""
        return Draw(by="domain", rows=self.rows)

    def steps(self, cohort: Cohort) -> int:
        """Return ``epochs`` passes over the largest domain, or the number of steps that bounds them."""
        return self.draw.steps(cohort, self.epochs, self.min_steps, self.max_steps)

    def check(self, cohort: Cohort) -> None:
        """Refuse cohorts that cannot be aligned or classified."""
        several = len(cohort.domains.count) > 1
        preconditions.enough_rows(cohort)
        if self.scale == "domain":
            preconditions.warn_constant(cohort)
        preconditions.steps_in_order(self.min_steps, self.max_steps)
        if self.family != "residual" or (self.align and several):
            preconditions.two_rows_drawn(self.rows)
        terms = (
            self.align and several,
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
        preconditions.gram_fits(cohort, self.rows)
        preconditions.classes_estimable(cohort)

    def init(self, key: Array, cohort: Cohort) -> JointState:
        """Draw the networks; measure what standardises the inputs."""
        everything = jnp.asarray(cohort.domains.domain)
        # Without any label, all domains are equal.
        sources = jnp.asarray(cohort.sources) if len(cohort.sources) else everything
        rebuilt = {"sources": sources, "all": everything, "none": everything[:0]}[self.rebuild]
        return self.begin(key, cohort, sources, rebuilt)

    def begin(self, key: Array, cohort: Cohort, sources: Array, rebuilt: Array) -> JointState:
        """Make a state for minibatches whose labelled and rebuilt domains are at these positions."""
        d, groups = cohort.x.shape[-1], len(cohort.domains.count)
        nets = self._nets(groups, joint_players.outputs(cohort.n_labels))
        keys = jax.random.split(key, 3)
        tables = self.inputs.of_cohort(cohort)
        example = jnp.zeros((groups, 2, d))
        player = functools.partial(Player.make, tx=nets.tx, memory=self.average)
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
        rate = self.learning_rate * self.decay ** (epoch + 1)
        if self.restart:
            first = state.step % state.epoch == 0
            players = {p: getattr(state, p) for p in ("calibrator", "classifier", "reconstructors")}
            state = state.replace(**{p: v.restart(first) if v else None for p, v in players.items()})
        x = self.inputs.apply(state.tables, rows.x, rows.domain[:, None])
        info: Info = {}
        if self.alternate:
            for number, (rounds, parts) in enumerate(
                ((self.classify_rounds, ("classify",)), (self.rebuild_rounds, ("rebuild",)))
            ):
                keys = jax.random.split(jax.random.fold_in(key, number), rounds)
                update = functools.partial(self._update, x=x, label=rows.label, rate=rate, parts=parts)
                state, told = jax.lax.scan(lambda s, k, u=update: u(k, s), state, keys)
                info |= jax.tree.map(lambda leaf: leaf[-1], told)
        else:
            state, info = self._update(
                key, state, x=x, label=rows.label, rate=rate, parts=("classify", "rebuild")
            )
        return state.replace(step=state.step + 1), info

    def finish(self, state: JointState, cohort: Cohort) -> Fitted:
        """Keep the parameters, and settle the statistics of every domain."""
        groups, domain = len(cohort.domains.count), jnp.asarray(cohort.domain)
        nets = self._nets(groups, joint_players.outputs(cohort.n_labels))
        settle = functools.partial(
            joint_players.settle,
            domain=domain,
            weight=jnp.asarray(cohort.weight),
            domains=groups,
            own=self.statistics == "domain",
        )
        x = self.inputs.apply(state.tables, jnp.asarray(cohort.x), domain)
        z, calibrator = settle(nets.calibrator, state.calibrator.settled, x)
        fitted = {"calibrator": calibrator, "inputs": state.tables}
        if state.classifier is not None:
            each = jax.vmap(lambda member: settle(nets.classifier, member, z)[1])
            fitted["classifier"] = each(state.classifier.settled)
        if state.reconstructors is not None:
            fitted["reconstructors"] = {"params": state.reconstructors.settled[0]}
        return fitted

    def encode(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return calibrated codes z = C(x)."""
        net = self._nets(self.domains(fitted), 1).calibrator
        inputs = self.inputs.apply(fitted["inputs"], x, domain)
        return joint_players.infer(net, fitted["calibrator"], inputs, domain)

    def transform(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Decode the calibrated codes as if all rows came from one average domain.

        Without reconstructors the codes stand for the standardised inputs.
        """
        z = self.encode(fitted, x, domain)
        if "reconstructors" in fitted:
            net = self._nets(self.domains(fitted), 1).reconstructor
            z = joint_players.infer_mean(net, fitted["reconstructors"], z)
        return self.inputs.restore(fitted["inputs"], z, x, domain)

    def domains(self, fitted: Fitted) -> int:
        """Return the number of domains."""
        return len(fitted["inputs"]["location"])

    def predict(self, fitted: Fitted, x: Array, domain: Array) -> Array:
        """Return logits, (n, classes); two classes have the logits 0 and D(z)."""
        outputs = joint_players.width(fitted["classifier"])
        net = self._nets(self.domains(fitted), outputs).classifier
        z = self.encode(fitted, x, domain)
        logits = joint_players.infer_mean(net, fitted["classifier"], z, domain)
        return jnp.concatenate([jnp.zeros_like(logits), logits], axis=-1) if outputs == 1 else logits

    def review(self, info: dict[str, float]) -> list[str]:
        """Warn when the kernels see nothing."""
        if self.align and info.get("kernel", 0.5) < 1e-3:
            return [
                f"The MMD kernels are saturated: rows of different domains have a mean kernel of "
                f"{info['kernel']:.1e}. So far apart, the alignment has no gradient and does nothing. "
                'Use bandwidth_unit="median", or standardise the inputs (scale="domain").'
            ]
        return []

    def _nets(self, domains: int, outputs: int) -> Nets:
        return joint_players.build(self.family, self.dropout, self.weight_decay, domains, outputs)

    def _update(
        self, key: Array, state: JointState, *, x: Array, label: Array, rate: Array, parts: tuple[str, ...]
    ) -> tuple[JointState, Info]:
        """Descend once on the alignment and the given other parts, in the parameters that these touch."""
        names = ["calibrator"]
        if "classify" in parts and state.classifier is not None:
            names.append("classifier")
        if "rebuild" in parts and state.reconstructors is not None:
            names.append("reconstructors")
        players = {name: getattr(state, name) for name in names}
        loss = functools.partial(self._loss, key=key, state=state, x=x, label=label)
        (_, (info, running)), grads = jax.value_and_grad(loss, has_aux=True)(
            {name: player.params for name, player in players.items()}
        )
        players = {n: p.update(grads[n], rate, running.get(n)) for n, p in players.items()}
        return state.replace(**players), info

    def _loss(
        self, params: dict[str, Any], *, key: Array, state: JointState, x: Array, label: Array
    ) -> tuple[Array, tuple[Info, dict[str, Any]]]:
        """Sum the weighted terms whose players are among ``params``."""
        keys, running, info = jax.random.split(key, 4), {}, {}
        z, running["calibrator"] = joint_players.forward(state.calibrator, params["calibrator"], x, keys[0])
        total = jnp.zeros(())
        if self.align and len(x) > 1:
            unit = median_bandwidth(z) if self.bandwidth_unit == "median" else 1.0
            mmd2, info["kernel"] = mmd2_matrix(z, self.bandwidths, unit, unbiased=self.unbiased)
            info["align"] = alignment(mmd2, self.pairs)
            total += self.align * info["align"]
        if "classifier" in params and state.classifier is not None:
            seen = z[state.sources] if self.coupled else jax.lax.stop_gradient(z[state.sources])
            if self.noise:
                seen += self.noise * jitter(keys[3], seen.shape)
            logits, running["classifier"] = joint_players.forward_each(
                state.classifier,
                params["classifier"],
                seen,
                jax.random.split(keys[1], self.members),
                shared=True,
            )
            entropy = functools.partial(
                cross_entropy,
                label=label[state.sources],
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
            info["rebuild"] = squared_error(
                output, x[state.rebuilt], features=self.features_reduced, domains=self.domains_reduced
            )
            total += self.reconstruct * info["rebuild"]
        return total, (info | {"loss": total}, running)
