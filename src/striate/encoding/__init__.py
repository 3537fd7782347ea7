"""From a network's features to scores: streamed features, ridge, selection, scores, inference."""

from striate.encoding.encode import Encoding as Encoding
from striate.encoding.encode import encode as encode
from striate.encoding.features import Cost as Cost
from striate.encoding.features import extract as extract
from striate.encoding.features import predict_cost as predict_cost
from striate.encoding.inference import Interval as Interval
from striate.encoding.inference import bootstrap_means as bootstrap_means
from striate.encoding.inference import fdr as fdr
from striate.encoding.inference import mean_interval as mean_interval
from striate.encoding.inference import percentile_interval as percentile_interval
from striate.encoding.inference import permutation_p as permutation_p
from striate.encoding.inference import shuffled_means as shuffled_means
from striate.encoding.inference import sign_flip_p as sign_flip_p
from striate.encoding.projection import ProjectionConfig as ProjectionConfig
from striate.encoding.protocols import Choice as Choice
from striate.encoding.protocols import EncodeConfig as EncodeConfig
from striate.encoding.protocols import RoiEncoding as RoiEncoding
from striate.encoding.ridge import ALPHAS as ALPHAS
from striate.encoding.ridge import RidgeCV as RidgeCV
from striate.encoding.scores import ceiling_normalized as ceiling_normalized
from striate.encoding.scores import mean_r as mean_r
from striate.encoding.scores import pearson_r as pearson_r
from striate.encoding.scores import r_squared as r_squared
from striate.encoding.scores import score_r as score_r
from striate.encoding.scores import share_improved as share_improved
