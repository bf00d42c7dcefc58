/* Behind a kernel's source: EXPORT(name, waits, alone) makes the driver find it. */
template <auto function> struct Exported;

template <class... Parameters, void (*function)(Parameters...)> struct Exported<function> {
    static constexpr size_t n = sizeof...(Parameters), sizes[] = {sizeof(Parameters)..., 0};

    static void call(void **parameters) {
        call(parameters, std::index_sequence_for<Parameters...>());
    }

    template <size_t... i> static void call(void **parameters, std::index_sequence<i...>) {
        function(*(std::remove_cv_t<std::remove_reference_t<Parameters>> *)parameters[i]...);
    }
};

#define EXPORT(name, waits, alone)                                                   \
    extern "C" __attribute__((visibility("default"))) const Kernel kernel_##name = { \
        #name, Exported<name>::call, Exported<name>::n, Exported<name>::sizes, waits, alone};
