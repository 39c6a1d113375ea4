"""What the page on joint calibration says around its tables."""

HEAD = """# Joint calibration

Classify the rows of a *target* domain, whose labels are hidden, by the labels of *source* domains, as in Niu et al.
2022 [1, 2]. A *domain* is what the papers call a batch. Made by `python experiments/build_pages.py` from the rows
in `experiments/results/`.

- The labels of a target are used for the score and for nothing else.
- Numbers are mean ± standard deviation over seeds. Simple pipelines do not depend on a seed.
- `default` is `jbc.JointCalibration()`, and `default, pairwise` is `jbc.PairwiseCalibration()`, which averages the
  probabilities of one source and one target at a time. `paper` and `reference` are presets: what is in print, and the
  released program. *Recon_T* rebuilds the targets as well, *Remove_R* nothing, and *L1 norm* aligns by equation (1)
  of [1] as it stands. In the released programs, players without a loss in a step move on by the moments of their
  optimiser, by the PyTorch that they were pinned to; a later one lets them *stand still*.
- `pairwise` is what [1] compares with: the two-batch method of [2] by one source at a time, whose *scores* are
  averaged. Its settings for these data are not in print; here they are those of its released program for spectra, but
  for the epochs. `baseline network` is the classifier of the method alone, on raw rows of the sources together.
- Simple pipelines see the rows `raw` (scaled over the sources), as logarithms with a `z-score per domain`, or as
  `our inputs`: those of the default, which are log-ratios to the level of the row (plain logarithms where features
  are few), z-scored per domain.
- A *unit* is the subject that replicate rows belong to. It gets the median probability of its rows.
- *AUC* is the area under the ROC curve of the probabilities. *Hard AUC* is what the papers print as AUC: that of
  the predicted labels, which for two classes is the balanced accuracy. *F* is the F1 score and *MCC* Matthews'
  correlation. Averages are over all tasks.
- Lines in italics are numbers in print, with their table; *ours* is the method of the authors. They are from [1]
  for MI, from [2] for CyTOF. An average that is not in print is the mean of what is.

[1] Niu et al., Deep learning based multi-batch calibration for classification in various omics, 2021,
doi:10.21203/rs.3.rs-1017151/v1. [2] Niu et al., Joint deep learning for batch effect removal and classification
toward MALDI MS based metabolomics, BMC Bioinformatics, 2022."""
SECTIONS = {
    "mi": """## MI: three plates of mass spectra (Tables 1a and 1b of [1])

Two plates are sources, the third is the target. A unit is a run of five near-identical spectra, which are rows of
one blood sample.""",
    "pairs": """## MI: one plate to another (the protocol of Tables 3 to 5 of [2])

One plate is the source, another one the target, and only these two are calibrated, as in [2], whose own spectra are
private: its numbers are of other data, and not shown. `pairwise` is its method, *Remove_R* its ablation, and
`baseline network` its classifier on raw rows. A subject gets the median probability of its spectra.""",
    "chd": """## CHD: four plates of mass spectra (Tables 2a and 2b of [1])

Two plates are sources, the other two are targets, for every choice of two. Columns of targets are means over the
choices of the sources, as in Table 2a; all twelve accuracies of Table 2b are below. The default was fixed before any
of these numbers was made, and nothing was changed after them.""",
    "cytof": """## CyTOF: two days of two persons (Table 2 of [2])

One day is the source, the other the target. The positive class, CD8 cells, is the rarer one.""",
    "sc-mixology": """## Single cells by several protocols (in place of Table 3 of [1])

Three cell lines with known identity (H1975, H2228, HCC827), without doublets and wells of two cells, and the 500
genes that vary most over all domains, from counts per 10,000. They stand in for the paper's pancreas cells, whose
table of genes × cells is not at hand. Each of the five domains (CEL-seq2, Drop-seq, and three plates of CEL-seq2)
is the target once, and the other four are sources. F and AUC are means over the classes. The numbers in print are
of other data and not shown.""",
    "ceilings": """## Ceilings inside one domain (Table 1b of [1], the diagonals of Table 2 of [2])

Ten folds inside each plate or day, scored together. With folds of rows, as in the papers, spectra of one blood sample
are on both sides of the split, and the score tells how well they are recognised. Folds of units keep them together.
`published network` is the classifier of the papers; how [2] trained its own is not in print, so it is trained as that
of [1].""",
    "ablations": """## MI: what each part of the default buys

One thing is changed at a time. *Target* is scored by the labels of the target, as above. *Selection* needs no label
of the target: one of its two sources is learned from and the other is scored, both ways, while the target takes
part without labels. Choices may be made by it, for one task. The average over the tasks uses the labels of every
plate, since each plate is a source in two tasks; this is why selection is also given for each task.""",
    "tried": """## MI: what was tried and rejected

A plain network like one classifier of the default, on standardised inputs, without calibrator and alignment; then
one thing is changed at a time. Nothing here is part of the default. Terms that learn from rows without labels start
after the first third of the training. The last two lines change the probabilities of the plain network. The median
over a unit needs to know the units, which a single row does not tell.""",
}
PLATES = """## Three simulated plates (`jbc demo`)

Ten worlds; the labels of plate 3 are hidden, and accuracy, AUC and MCC are those of plate 3. *Plates told apart* is
the accuracy of a classifier that names the plate of a row, *MMD 1–3* the distance (maximum mean discrepancy)
between plates 1 and 3, and *agreement with truth* the mean correlation of a feature with itself without any plate
effect. The plate effect is mostly a shift and a scale per feature, so `jbc.Standardise` before a logistic
regression is as good as joint calibration. `python experiments/joint/plates.py` makes these rows."""
SPACES = """## How far domains are apart (Table 1 of [2], Figures 2 and 3 and S1b of [1])

The maximum mean discrepancy between 500 rows of each of two domains, mean ± standard deviation over draws, and
between two halves of the second one, which share no unit: about what chance leaves. *Codes* are what a method
classifies: those of `default` and of `paper`, trained once with the labels of the sources. The value depends on the
width of the kernels: 1 to 16 in the released programs, whatever the rows are, and in units of the median distance
otherwise. On intensities as measured, kernels of the programs see nothing: every row is far from every other one, and
domains seem as near as halves of one. What is in print is the authors' own, of which the kernels are not told.

`python experiments/joint/spaces.py` makes these rows and draws the figures: at most 1500 rows, in one t-SNE map for
each space."""
