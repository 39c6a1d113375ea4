# The public names, for type checkers and for __init__.py; methods are those of the registry.
from jbc import metrics as metrics
from jbc import plots as plots
from jbc.cohort import Cohort as Cohort
from jbc.data import datasets as datasets
from jbc.errors import InputError as InputError
from jbc.errors import InputWarning as InputWarning
from jbc.interfaces import model_selection as model_selection
from jbc.interfaces.estimator import Corrector as Corrector
from jbc.interfaces.scverse import correct as correct
from jbc.methods import presets as presets
from jbc.methods.editing import Editing as Editing
from jbc.methods.inputs import Inputs as Inputs
from jbc.methods.registry import *  # noqa: F403
from jbc.methods.settings import AdversarialTraining as AdversarialTraining
from jbc.methods.settings import Kernel as Kernel
from jbc.methods.settings import Route as Route
from jbc.methods.settings import Training as Training
from jbc.model.fitting import fit as fit
from jbc.model.model import Model as Model
from jbc.model.model import load as load

__version__: str
