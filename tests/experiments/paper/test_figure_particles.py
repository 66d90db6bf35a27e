"""Figure 1: the free particles, against double loops, central differences and the catalogue's losses."""

import csv
import dataclasses
import runpy

import numpy as np
import pytest
from PIL import Image

from mmdgan import losses
from mmdgan.core.errors import ConfigError
from paper import particles
from paper.particles import (
    ARROW_COLOURS,
    SIGMA,
    ParticleOptions,
    _Moment,
    animation_frames,
    draw_panels,
    loss_phases,
    make,
    notes,
    published_phases,
    simulate,
    start,
    table,
)

OBJECTIVES = {
    "attractive": particles.attractive_objective,
    "repulsive": particles.repulsive_objective,
    "generator": particles.generator_objective,
}


@pytest.fixture(scope="module")
def trajectories():
    return published_phases(*start(seed=3))


def _loop_mean(a, b):
    """Mean of exp(-D) over i != j, pair by pair."""
    values = [
        np.exp(-sum((a[i, k] - b[j, k]) ** 2 for k in range(a.shape[1])))
        for i in range(len(a))
        for j in range(len(b))
        if i != j
    ]
    return sum(values) / len(values)


def _loop_objective(name, real, generated):
    """(attraction, repulsion) of each objective, as the specification writes them: what M adds, what it takes away."""
    own_real, own_generated = _loop_mean(real, real), _loop_mean(generated, generated)
    cross = _loop_mean(real, generated)
    return {
        "attractive": {"attraction": own_real + own_generated, "repulsion": -2 * cross},
        "repulsive": {"attraction": own_generated, "repulsion": -own_real},
        "generator": {"repulsion": own_real + own_generated, "attraction": -2 * cross},
    }[name]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_components_and_their_gradients_are_those_of_a_double_loop(name):
    points = np.random.default_rng(1).normal(0, 0.6, (2, 6, 2))
    parts = {part.name: part for part in OBJECTIVES[name](*points, 0)}
    expected = _loop_objective(name, *points)
    assert set(parts) == set(expected)
    for component, part in parts.items():
        assert part.value == pytest.approx(expected[component], abs=1e-12)
        numeric = np.zeros_like(points)
        for index in np.ndindex(points.shape):
            for sign in (1, -1):
                moved = points.copy()
                moved[index] += sign * 1e-5
                numeric[index] += sign * _loop_objective(name, *moved)[component] / 2e-5
        np.testing.assert_allclose([part.real, part.generated], numeric, atol=1e-9)


def test_means_leave_out_equal_indices_in_the_cross_term_and_in_rectangles():
    a, b = np.random.default_rng(2).normal(size=(4, 2)), np.random.default_rng(3).normal(size=(3, 2))
    for first, second in ((a, b), (b, a), (a, a)):
        assert particles.mean_kernel(first, second)[0] == pytest.approx(_loop_mean(first, second), abs=1e-12)
    # Only the pairs i = i are near: a mean with the diagonal would see them.
    far = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]])
    assert particles.mean_kernel(far, far + 0.01)[0] == 0.0


@pytest.mark.parametrize("index", [0, 1])
def test_the_critic_keeps_the_centre_of_mass(trajectories, index):
    """In float64, over all 600 steps, because every pair pulls both of its points equally."""
    points = trajectories[index].points
    assert points.shape == (601, 2, 6, 2)
    centres = points.mean(axis=(1, 2))
    np.testing.assert_allclose(centres, np.broadcast_to(centres[0], centres.shape), atol=1e-12)
    assert np.abs(points[-1] - points[0]).max() > 0.3


@pytest.mark.parametrize("index", [2, 3])
def test_the_generator_moves_generated_points_only_from_the_critics_end(trajectories, index):
    trajectory, critic = trajectories[index], trajectories[index - 2]
    np.testing.assert_array_equal(trajectory.points[0], critic.points[450])
    assert np.ptp(trajectory.points[:, 0], axis=0).max() == 0
    assert np.ptp(trajectory.points[:, 1], axis=0).min() > 0.01
    assert all(np.abs(gradient[:, 0]).max() == 0 for gradient in trajectory.gradients.values())


def test_a_step_is_a_hundredth_of_the_gradient_up_for_the_critic_and_down_for_the_generator(trajectories):
    for trajectory, sign in zip(trajectories, (1, 1, -1, -1), strict=True):
        total = sum(trajectory.gradients.values())
        np.testing.assert_allclose(np.diff(trajectory.points, axis=0), 0.01 * sign * total[:-1], atol=1e-15)
        climbs = np.diff(trajectory.objective) * sign
        assert climbs.min() > -1e-12 and trajectory.objective.shape == (601,)


def test_the_attractive_loss_parts_two_clusters_and_the_repulsive_one_spreads_the_real_points(trajectories):
    def spread(points):
        return np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean())

    for trajectory in trajectories[:2]:
        assert spread(trajectory.points[450, 1]) < 0.35 * spread(trajectory.points[0, 1])
    assert spread(trajectories[0].points[450, 0]) < 0.6 * spread(trajectories[0].points[0, 0])
    assert spread(trajectories[1].points[450, 0]) > 2.5 * spread(trajectories[1].points[0, 0])
    apart = [np.linalg.norm(np.diff(t.points[450].mean(axis=1), axis=0)) for t in trajectories[:2]]
    assert apart[0] > 1 > apart[1]


def test_arrows_are_half_the_gradient_along_the_movement(trajectories):
    blue, orange = (trajectories[1].arrows()[name] for name in ("attraction", "repulsion"))
    np.testing.assert_array_equal(blue, 0.5 * trajectories[1].gradients["attraction"])
    # The repulsive loss: real points have only orange arrows, generated ones only blue ones.
    assert np.abs(blue[:, 0]).max() == np.abs(orange[:, 1]).max() == 0 < np.abs(blue[0, 1]).min()
    generator = trajectories[2]
    np.testing.assert_array_equal(generator.arrows()["attraction"], -0.5 * generator.gradients["attraction"])
    # From the generated points, blue leads to the real ones and orange away from each other.
    towards = generator.points[450, 0].mean(0) - generator.points[450, 1]
    assert np.all((generator.arrows()["attraction"][450, 1] * towards).sum(1) > 0)
    assert ARROW_COLOURS["attraction"] == "#1F77B4" and ARROW_COLOURS["repulsion"] == "#FF7F0E"


def test_the_start_is_of_the_seed_and_small():
    real, generated = start(2000, seed=7)
    np.testing.assert_array_equal(real, start(2000, seed=7)[0])
    assert np.abs(real - start(2000, seed=8)[0]).max() > 0.1 < np.abs(real - generated).max()
    assert np.std([real, generated]) == pytest.approx(0.15, rel=0.03)


@pytest.mark.parametrize(("index", "name"), [(0, "mmd_g"), (1, "rep")])
def test_the_catalogues_losses_move_the_points_alike(trajectories, index, name):
    """The kernel exp(-D) is the Gaussian with sigma = 1 / sqrt(2); M = -L_D, and the generator's M is L_G."""
    ours, theirs = (
        (trajectories[index], trajectories[index + 2]),
        loss_phases(losses.get(name, sigma=SIGMA), *start(seed=3), 60, 60, 30),
    )
    assert SIGMA == pytest.approx(0.70710678, abs=1e-8)
    critic, generator = theirs
    np.testing.assert_allclose(critic.points, ours[0].points[:61], atol=1e-12)
    np.testing.assert_allclose(critic.objective, -ours[0].objective[:61], atol=1e-12)
    np.testing.assert_allclose(critic.arrows()["loss"], sum(ours[0].arrows().values())[:61], atol=1e-12)
    again = simulate(particles.AFTER_ATTRACTIVE, *ours[0].points[60], 30)
    np.testing.assert_allclose(generator.points, again.points, atol=1e-12)
    np.testing.assert_allclose(generator.objective, again.objective, atol=1e-12)


def test_scores_of_one_number_move_along_a_line():
    loss = losses.get("hinge")
    real, generated = start(seed=1)
    critic, generator = loss_phases(loss, real, generated, 100, 100, 50)
    np.testing.assert_array_equal(critic.points[:, 0, :, 1], np.broadcast_to(real[:, 1], (101, 6)))
    # Within the margin the hinge pulls with one sixth per point: up for real, down for generated ones.
    np.testing.assert_allclose(critic.points[100, 0, :, 0] - real[:, 0], 100 * 0.01 / 6, atol=1e-9)
    np.testing.assert_allclose(critic.points[100, 1, :, 0] - generated[:, 0], -100 * 0.01 / 6, atol=1e-9)
    np.testing.assert_allclose(generator.points[50, 1, :, 0] - generator.points[0, 1, :, 0], 50 * 0.01 / 6, atol=1e-9)
    assert len(notes(loss)) == 1 and "horizontal" in notes(loss)[0]


def test_losses_with_a_penalty_are_shown_without_it_and_say_so():
    shown, plain = (loss_phases(losses.get(name), *start(), 5, 5, 5) for name in ("rep_ds", "rep"))
    for with_scale, without in zip(shown, plain, strict=True):
        np.testing.assert_allclose(with_scale.points, without.points, atol=1e-12)
    assert notes(losses.get("rep")) == []
    assert "without its gradient penalty" in notes(losses.get("rep_gp"))[0]
    assert "without its scale" in notes(losses.get("rep_ds"))[0]
    assert len(notes(losses.get("wasserstein"))) == 2


def test_the_generator_goes_on_with_the_state_of_a_loss_with_a_memory():
    loss = losses.get("sgm", mix_threshold=-2.0)
    critic, generator = loss_phases(loss, *start(), 8, 12, 4, seed=5)
    probabilities = [float(state["probability"]) for state in critic.phase.objective.states]
    assert np.all(np.diff(probabilities) > 0) and len(probabilities) == 13
    assert float(generator.phase.objective.states[0]["probability"]) == probabilities[8]
    again = loss_phases(loss, *start(), 8, 12, 4, seed=5)[0]
    np.testing.assert_array_equal(critic.points, again.points)


@pytest.mark.slow
@pytest.mark.parametrize("canonical", sorted({losses.canonical_name(name) for name in losses.names()} - {"drift"}))
def test_every_loss_of_the_catalogue_moves_the_points(canonical):
    # Of drift the kernels are too narrow for so few points.
    # Further apart than the bounds of the bounded losses, within which nothing moves.
    critic, generator = loss_phases(losses.get(canonical), *start(spread=0.6), 3, 4, 3)
    for trajectory in (critic, generator):
        assert np.isfinite(trajectory.points).all() and np.isfinite(trajectory.objective).all()
        assert np.abs(trajectory.points[-1, 1] - trajectory.points[0, 1]).max() > 1e-6
    assert np.ptp(generator.points[:, 0], axis=0).max() == 0


def test_panels_draw_the_points_and_legible_arrows_where_they_are(trajectories):
    figure = draw_panels(trajectories, [[0, 450], [0, 450], [0, 600], [0, 600]])
    figure.canvas.draw()
    panels = figure.axes
    assert len(panels) == 8 and "450" in panels[1].get_title() and "MMD²" in panels[1].get_title()
    real, generated = panels[3].collections[:2]
    np.testing.assert_array_equal(real.get_offsets(), trajectories[1].points[450, 0])
    np.testing.assert_array_equal(generated.get_offsets(), trajectories[1].points[450, 1])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["R", "G", "attraction", "repulsion"]


def test_an_animation_has_a_frame_every_five_steps_and_its_arrows_follow(trajectories):
    short = trajectories[0]._replace(points=trajectories[0].points[:11])
    frames = list(animation_frames(short, 5, dpi=50))
    assert [frame.shape for frame in frames] == [(240, 320, 3)] * 2
    assert np.abs(frames[0].astype(int) - frames[1]).max() > 50
    assert len(range(0, 600, 5)) == 120
    from paper.output import new_figure

    moment = _Moment(new_figure(3, 3).subplots(), trajectories[0], 1.0)
    moment.show(200)
    quiver = moment._quivers["repulsion"]
    arrows = trajectories[0].arrows()["repulsion"][200].reshape(-1, 2)
    np.testing.assert_allclose(np.stack([quiver.U, quiver.V], axis=1), arrows)
    np.testing.assert_array_equal(quiver.get_offsets(), trajectories[0].points[200].reshape(-1, 2))


def test_the_table_has_positions_gradients_and_objective_of_each_query_step(trajectories):
    rows, columns = table(trajectories, 100)
    assert len(rows) == 4 * 7 * 12
    row = dict(zip(columns, rows[12 * 7 + 2 * 12 + 8], strict=True))
    assert (row["phase"], row["step"], row["kind"], row["point"]) == ("mmd_rep", 200, "G", 2)
    trajectory = trajectories[1]
    assert row["objective"] == trajectory.objective[200]
    assert [row["x"], row["y"]] == trajectory.points[200, 1, 2].tolist()
    assert row["attraction_dy"] == trajectory.gradients["attraction"][200, 1, 2, 1]
    assert row["repulsion_dx"] == trajectory.gradients["repulsion"][200, 1, 2, 0]


def _quick(folder, **options):
    return dataclasses.replace(ParticleOptions(), out=str(folder), quick=True, dpi=40, **options)


def test_the_script_writes_its_pictures_animations_and_numbers(tmp_path, capsys):
    script = runpy.run_path("experiments/figure1_particles.py")
    files = {file.name: file for file in script["make"](_quick(tmp_path)).files}
    phases = ("mmd_att", "mmd_rep", "g_mmd_att", "g_mmd_rep")
    assert set(files) == {"figure1.png", "figure1.pdf", "figure1.csv", *(f"figure1_{name}.gif" for name in phases)}
    assert all(Image.open(files[f"figure1_{name}.gif"]).n_frames == 2 for name in phases)
    with files["figure1.csv"].open() as file:
        assert len(list(csv.DictReader(file))) == 12 * (3 + 3 + 3 + 3)
    assert "critic, repulsive loss: step, −L_D" in capsys.readouterr().out


def test_a_loss_is_drawn_by_name_with_its_options(tmp_path, capsys):
    options = _quick(tmp_path, loss="wasserstein", animations=False)
    assert [file.name for file in make(options).files] == [f"figure1_wasserstein.{e}" for e in ("png", "pdf", "csv")]
    assert "without its gradient penalty" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="no option 'sigma'"):
        make(_quick(tmp_path, loss="hinge", sigma=(1.0,)))
    with pytest.raises(ConfigError, match="no loss named 'repp'.*rep"):
        make(_quick(tmp_path, loss="repp"))


def test_a_lambda_of_0_is_not_left_out():
    options = ParticleOptions(loss="rep", rep_lambda=0.0, sigma=(SIGMA,), critic_steps=0, generator_steps=1)
    critic, _ = particles._simulated(options)
    real, generated = start(options.points, options.spread, options.seed)
    expected = particles.mean_kernel(real, generated)[0] - particles.mean_kernel(generated, generated)[0]
    assert critic.objective[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": (1.0,)}, "--sigma belongs to a loss"),
        ({"points": 1}, "points is 1; give a whole number of at least 2"),
        ({"rate": float("nan")}, "rate is nan; give a positive number"),
        ({"frame_steps": 0}, "frame_steps is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_wrong_flags_are_one_sentence(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        make(_quick(tmp_path, **options))
