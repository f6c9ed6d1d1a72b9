#include "runtime/tasks/task_shapes.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "runtime/tasks/python_text.h"

namespace hetmoe {
namespace {

constexpr std::size_t kMostChoices = 100;

TaskItem make(const std::string& context, const std::vector<std::string>& texts,
              std::int64_t answer) {
  TaskItem item{.answer = answer};
  for (const std::string& text : texts) item.choices.push_back({context, text});
  return item;
}

void require_choices(const char* name, std::size_t count) {
  if (count >= 2 && count <= kMostChoices) return;
  throw StorageError(std::string(name) + " holds " + std::to_string(count) + ", allowed: 2 to " +
                     std::to_string(kMostChoices));
}

std::string question(const std::string& text) { return "Question: " + text + "\nAnswer:"; }

/// As a regular expression: without every \[.*?\], where a point is no line end.
std::string without_brackets(std::string_view text) {
  std::string out;
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t end =
        text[position] == '[' ? text.find_first_of("]\n", position) : std::string_view::npos;
    if (end != std::string_view::npos && text[end] == ']') {
      position = end + 1;
    } else {
      out += text[position++];
    }
  }
  return out;
}

/// Brackets are what is left of the pages' markup in the part that comes from WikiHow.
std::string without_markup(std::string_view text) {
  return with_replaced(without_brackets(with_replaced(stripped(text), " [title]", ". ")), "  ",
                       " ");
}

TaskItem hella_swag(const ItemFields& fields) {
  const bool in_parts = fields.has("ctx_a") && fields.has("ctx_b");
  const std::string context = in_parts
                                  ? fields.text("ctx_a") + " " + capitalized(fields.text("ctx_b"))
                                  : fields.text("ctx");
  std::vector<std::string> endings = fields.texts("endings");
  require_choices("endings", endings.size());
  for (std::string& ending : endings) ending = without_markup(ending);
  return make(without_markup(fields.text("activity_label") + ": " + context), endings,
              fields.index("label", 0, static_cast<std::int64_t>(endings.size())));
}

TaskItem piqa(const ItemFields& fields) {
  return make(question(fields.text("goal")), {fields.text("sol1"), fields.text("sol2")},
              fields.index("label", 0, 2));
}

/// Choices that are known by a label each.
TaskItem labelled(const std::string& context, std::string_view key, const ItemFields& fields) {
  const std::vector<std::string> texts = fields.texts("choices", "text");
  const std::vector<std::string> labels = fields.texts("choices", "label");
  require_choices("choices.text", texts.size());
  if (labels.size() != texts.size()) {
    throw StorageError("choices.label holds " + std::to_string(labels.size()) +
                       ", allowed: as many as choices.text, " + std::to_string(texts.size()));
  }
  const auto found = std::ranges::find(labels, key);
  if (found == labels.end()) fields.refuse("answerKey", "one of choices.label");
  return make(context, texts, found - labels.begin());
}

TaskItem arc(const ItemFields& fields) {
  return labelled(question(fields.text("question")), fields.text("answerKey"), fields);
}

TaskItem open_book_qa(const ItemFields& fields) {
  return labelled(fields.text("question_stem"), stripped(fields.text("answerKey")), fields);
}

/// Both options put into the sentence; what follows them is asked for, and is the same.
TaskItem wino_grande(const ItemFields& fields) {
  const std::string sentence = fields.text("sentence");
  const std::size_t blank = sentence.find('_');
  if (blank == std::string::npos) throw StorageError("sentence without _, where an option belongs");
  const std::string before = sentence.substr(0, blank);
  const std::string after(stripped(std::string_view(sentence).substr(blank + 1)));
  return {.choices = {{before + fields.text("option1"), after},
                      {before + fields.text("option2"), after}},
          .answer = fields.index("answer", 1, 2)};
}

TaskItem bool_q(const ItemFields& fields) {
  const std::int64_t answer =
      fields.has("label") ? fields.index("label", 0, 2) : (fields.truth("answer") ? 1 : 0);
  return make(fields.text("passage") + "\nQuestion: " + fields.text("question") + "?\nAnswer:",
              {"no", "yes"}, answer);
}

TaskItem social_iqa(const ItemFields& fields) {
  return make("Q: " + fields.text("context") + " " + fields.text("question") + "\nA:",
              {fields.text("answerA"), fields.text("answerB"), fields.text("answerC")},
              fields.index("label", 1, 3));
}

TaskItem plain(const ItemFields& fields) {
  const std::vector<std::string> choices = fields.texts("choices");
  require_choices("choices", choices.size());
  return make(fields.text("context"), choices,
              fields.index("answer", 0, static_cast<std::int64_t>(choices.size())));
}

struct Shape {
  TaskShape shape;
  const char* name;
  const char* known_by;  ///< a field that none of the shapes before has
  TaskItem (*make)(const ItemFields& fields);
};

constexpr Shape kShapes[] = {
    {TaskShape::kHellaSwag, "HellaSwag", "endings", hella_swag},
    {TaskShape::kPiqa, "PIQA", "sol1", piqa},
    {TaskShape::kOpenBookQa, "OpenBookQA", "question_stem", open_book_qa},
    {TaskShape::kArc, "ARC", "answerKey", arc},
    {TaskShape::kWinoGrande, "WinoGrande", "option1", wino_grande},
    {TaskShape::kBoolQ, "BoolQ", "passage", bool_q},
    {TaskShape::kSocialIqa, "SIQA", "answerA", social_iqa},
    {TaskShape::kPlain, "plain", "choices", plain},
};

const Shape& entry_of(TaskShape shape) {
  const auto* const found = std::ranges::find(kShapes, shape, &Shape::shape);
  HETMOE_CHECK(found != std::end(kShapes), "shape ", static_cast<int>(shape));
  return *found;
}

}  // namespace

const char* name_of(TaskShape shape) { return entry_of(shape).name; }

std::optional<TaskShape> shape_of(const ItemFields& fields) {
  for (const Shape& shape : kShapes) {
    if (fields.has(shape.known_by)) return shape.shape;
  }
  return {};
}

TaskItem make_item(TaskShape shape, const ItemFields& fields) {
  return entry_of(shape).make(fields);
}

}  // namespace hetmoe
